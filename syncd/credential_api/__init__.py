"""The other half: hands a device temporary credentials that allow the upload below its prefix, and nothing else.

A program of its own, on a Lambda or a small server: it imports nothing of the daemon. A request's way through it:

    lambda_handler | server  ->  application  ->  devices (who asks)  ->  issue (what for)  ->  STS AssumeRole

`policies` and `template` say what has to exist in the account so that this works.
"""
