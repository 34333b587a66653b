"""Temporary credentials from the credential API: `api` fetches one set, `keeper` renews them in a thread.

`chain` walks boto3's own chain instead. `identity` shows who we are by TLS.
`bearer` reads the device's token file, `wire` is one HTTP request under one deadline, `answer` reads what came back.
No request is ever signed here, and nobody who signs one ever waits for the network here.
"""
