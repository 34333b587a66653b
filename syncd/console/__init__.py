"""How people look in: HTTP and JSON over a Unix socket."""
