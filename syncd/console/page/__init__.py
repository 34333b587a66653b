"""The page for a browser, and what monitors ask: HTTP on an address of this machine alone, for reading only.

Refuses every change, every other host name, and what another site's page asks in a visitor's name. Loaded only where
`console.listen` is set: Flask, waitress and prometheus-client cost a daemon without a page nothing.
"""
