"""The other half: hands a device temporary credentials that allow the upload below its prefix, and nothing else.

A program of its own, on a Lambda or a small server: it imports nothing of the daemon. A request's way through it:

    lambda_handler | server  ->  application  ->  devices (who asks)  ->  issue (what for)  ->  STS AssumeRole

`policies` and `template` say what has to exist in the account so that this works.

    messages                what goes in and out, whoever serves it
    registry | dynamodb     the devices, in a YAML file or in a table; `enrol` lets one into a file
    throttle                how often they may ask
    sts  presign            AssumeRole and what its errors mean; URLs for one PUT
    local                   all of it put together for one machine
    tls                     in front of waitress, which speaks none
"""
