"""What may be wrong on the way to the credential API and the store, and with what they answer."""

from __future__ import annotations

from typing import Final

from syncd.decide.findings import Check
from syncd.decide.troubles import FAIL, WARN, Trouble

_NTP: Final = "timedatectl set-ntp true"

# -- the way

_LINES: Final = (Check.STORE_LINE,)
NO_ADDRESS = Trouble(
    Check.API_NAME,
    FAIL,
    "{host} has no address: {reason}",
    "mend the host in {key}, or this machine's name server (resolvectl status)",
    also=(Check.STORE_NAME, Check.PROXY),
)
NOT_REACHED = Trouble(
    Check.API_LINE,
    FAIL,
    "{host}:{port} cannot be reached: {reason}",
    "see that it is up and that the firewall passes {host}:{port}, or mend {key}",
    also=(*_LINES, Check.PROXY),
)
UNTRUSTED = Trouble(
    Check.API_LINE,
    FAIL,
    "the certificate of {host} is not trusted: {reason}",
    "put the CA that signed it into {ca_key} as a PEM file, or into the system's store (update-ca-certificates)",
    also=_LINES,
)
OUT_OF_DATE = Trouble(
    Check.API_LINE,
    FAIL,
    "the certificate of {host} is out of date: {reason}",
    "have the certificate of {host} renewed, unless this machine's clock is wrong (" + _NTP + ")",
    also=_LINES,
)
OTHER_NAME = Trouble(
    Check.API_LINE,
    FAIL,
    "the certificate of {host} is another's: {reason}",
    "put the name that the certificate is for into {key}",
    also=_LINES,
)
NO_TLS = Trouble(
    Check.API_LINE,
    FAIL,
    "TLS with {host} fails: {reason}",
    "see that {key} is really served over https: openssl s_client -connect {host}:{port}",
    also=_LINES,
)
UNUSABLE_FILE = Trouble(Check.API_LINE, FAIL, "{error}", "{hint}", also=_LINES)
ENDS_SOON = Trouble(
    Check.API_LINE,
    WARN,
    "the certificate of {host} by {issuer} ends in {left}, at {end}",
    "have the certificate of {host} renewed in time, else {key} is refused from then on",
    also=_LINES,
)
PROXY_REFUSES = Trouble(
    Check.PROXY,
    FAIL,
    "{proxy} does not let us through to {host}:{port}: {answer}",
    "let the proxy pass CONNECT {host}:{port}, put its user and password into destination.proxy, or take that out",
)

# -- the credential API

NO_TOKEN = Trouble(Check.API_ANSWER, FAIL, "{error}", "credentials.api.token_file: {hint}")
WRONG_TOKEN = Trouble(
    Check.API_ANSWER,
    FAIL,
    "the token is refused: {error}",
    "put the token of device {device} into credentials.api.token_file; the API's operator makes a new one",
)
WRONG_DEVICE = Trouble(
    Check.API_ANSWER,
    FAIL,
    "the device is turned away: {error}",
    "have device {device} enabled, or its term extended, by the API's operator, or mend the key `device`",
)
TOO_MANY = Trouble(
    Check.API_ANSWER,
    FAIL,
    "the API is asked too often: {error}",
    "wait {wait} and try again; if it lasts, look for a second syncd with this credentials.api.token_file",
)
API_BROKEN = Trouble(
    Check.API_ANSWER,
    FAIL,
    "the API is in trouble: {error}",
    "look at the log of the API behind credentials.api.url; syncd asks again by itself",
)
PORTAL = Trouble(
    Check.API_ANSWER,
    FAIL,
    "somebody else answers, or not as documented: {error}",
    "log in at the captive portal in between if there is one, or mend credentials.api.url (redirects are not followed)",
)
NO_API = Trouble(
    Check.API_ANSWER,
    FAIL,
    "what answers takes no such request: {error}",
    "mend credentials.api.url: it must be the whole address of a credential API",
)
API_SILENT = Trouble(
    Check.API_ANSWER,
    FAIL,
    "no whole answer: {error}",
    "see that the API behind credentials.api.url is up and answers within credentials.api.timeout",
)
NO_CHAIN = Trouble(
    Check.CREDENTIALS,
    FAIL,
    "boto3's chain has none: {error}",
    "see credentials.chain.profile, and what `aws sts get-caller-identity` says for the daemon's user",
)
SHORT_LIFE = Trouble(
    Check.CREDENTIALS,
    WARN,
    "they end in {left}: each is hardly had before it must be renewed",
    "let the API behind credentials.api.url ask STS for longer sessions (DurationSeconds), 15 min or more",
)
NO_BUCKET = Trouble(
    Check.CREDENTIALS,
    FAIL,
    "neither the configuration nor the credential API names a bucket",
    "set destination.bucket",
)

# -- the store

CLOCK_REFUSED = Trouble(
    Check.CLOCK,
    FAIL,
    "the store refuses the time of our signatures: {error}",
    "set this machine's clock (" + _NTP + ")",
)
CLOCK_OFF = Trouble(
    Check.CLOCK,
    WARN,
    "this clock is {offset} {way} the servers'; requests are signed by theirs",
    "set this machine's clock (" + _NTP + ")",
)
KEYS_REFUSED = Trouble(
    Check.PUT,
    FAIL,
    "the store does not know the credentials: {error}",
    "let destination.endpoint_url and the role behind the credential API belong to one store",
)
WRONG_REGION = Trouble(Check.REGION, FAIL, "{error}", "{hint}")
WRONG_BUCKET = Trouble(Check.BUCKET, FAIL, "{error}", "{hint}")
WRONG_PREFIX = Trouble(
    Check.PREFIX,
    FAIL,
    "{error}",
    "set destination.prefix to {given}, or take it out: the session may write below that only",
)
NO_RIGHT = Trouble(
    Check.PREFIX,
    FAIL,
    "{error}",
    "{hint}",
    also=(Check.CONDITION, Check.CREATE, Check.PART, Check.LIST, Check.COMPLETE, Check.ABORT),
)
NO_ENCRYPTION = Trouble(
    Check.PUT,
    FAIL,
    "{error}",
    "set destination.server_side_encryption to what the store does, or to null",
    also=(Check.CREATE,),
)
NOT_DONE = Trouble(
    Check.PUT,
    FAIL,
    "{error}",
    "{hint}",
    also=(Check.CONDITION, Check.PROOF, Check.CREATE, Check.PART, Check.LIST, Check.COMPLETE, Check.ABORT),
)
CHECKSUM_IGNORED = Trouble(
    Check.CHECKSUM,
    WARN,
    "the store does not honour {algorithm}: MD5 proves what is stored instead",
    "set destination.checksum: md5, which spares the first try after each start",
)
CHECKSUM_REFUSED = Trouble(
    Check.CHECKSUM,
    FAIL,
    "the store does not honour {algorithm}: {error}",
    "set destination.checksum to auto, or to one that the store honours",
    also=(Check.CREATE,),
)
NO_CHECKSUM = Trouble(
    Check.CHECKSUM,
    WARN,
    "nothing is summed: only the size of what is stored can be proven",
    "set destination.checksum: auto",
)
CONDITION_IGNORED = Trouble(
    Check.CONDITION,
    WARN,
    "the store replaces objects in spite of If-None-Match: nothing keeps two writers of one key apart",
    "give each device a prefix of its own (destination.prefix) and put {{mtime:%Y-%m-%dT%H%M%S}} into each key",
)
NOT_SHOWN = Trouble(
    Check.PROOF,
    FAIL,
    "HEAD does not show what was stored",
    "allow s3:GetObject on s3://{bucket}/{prefix}*: HEAD needs it to prove what is stored",
)
OTHER_OBJECT = Trouble(
    Check.PROOF,
    FAIL,
    "HEAD shows another object than was stored: {what}",
    "look what else writes to s3://{bucket}/{key}: one `device` name for two machines, or a store that drops metadata",
    also=(Check.COMPLETE,),
)
ONLY_SIZE = Trouble(
    Check.PROOF,
    WARN,
    "HEAD shows token and size, but no sum of the bytes",
    "set destination.checksum: {other}, and after_upload: keep where that shows no sum either",
)
LEFT_OPEN = Trouble(
    Check.ABORT,
    FAIL,
    "{error}; the upload {upload} of {key} may be left open",
    "allow s3:AbortMultipartUpload on s3://{bucket}/{prefix}*, then run syncd orphans --abort",
)
NO_RULE = Trouble(
    Check.STALE,
    WARN,
    "the store names no lifecycle rule of {bucket} that ends uploads that are left open",
    "give the bucket a lifecycle rule with AbortIncompleteMultipartUpload, some days longer than a machine may be off",
)
HASTY_RULE = Trouble(
    Check.STALE,
    WARN,
    "a lifecycle rule of {bucket} ends open uploads after {after}",
    "raise DaysAfterInitiation of AbortIncompleteMultipartUpload above the time that a machine may be off",
)
