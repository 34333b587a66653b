"""What each key of the configuration means, in the operator's words: for the schema (editors show it) and for the page.

Every key of the model stands here and no other; a test holds it. Defaults stand here only where the model's says nothing.
"""

from __future__ import annotations

from typing import Final

# What a null stands for, or that there is none.
DEFAULTS: Final = {
    "device": "the host name",
    "credentials.api.token_file": "`$CREDENTIALS_DIRECTORY/token`",
    "destination.bucket": "what the API answers",
    "destination.prefix": "what the API answers, else `{device}/`",
    "destination.region": "what the API answers, else `us-east-1`",
    "destination.metadata": "`{}`",
    "destination.tags": "`{}`",
    "folders[].name": "last part of `path`",
    "folders[].after_upload": "`keep`",
    "folders[].after_upload.move.to": "required with `move`",
    "state": "`$STATE_DIRECTORY/state.db`, else `$XDG_STATE_HOME/syncd/state.db`, else `~/.local/state/syncd/state.db`",
    "console.socket": "`$RUNTIME_DIRECTORY/control.sock`, else beside the ledger",
}

MEANING: Final = {
    "device": (
        "Who this machine is to the API. Letters, digits, `.` `_` `-`; at most 58; begins with a letter or digit."
        " Other characters of a host name become `-`."
    ),
    "credentials.api.url": "Where temporary credentials come from. `https`, or `http` to `localhost`, `127.0.0.0/8` or `[::1]`.",
    "credentials.api.token_file": (
        "Holds the token that proves who this machine is. Refused if others can read it, or if anyone but its "
        "owner can write it. Required where systemd sets no such directory."
    ),
    "credentials.api.ca_file": "PEM file to trust instead of the system's store.",
    "credentials.api.client_cert": (
        "Mutual TLS: a PEM file with the certificate that shows who this machine is, beside the token. With "
        "`client_key`, and `https` only. Read anew at each call, so both may be rotated under a running daemon."
    ),
    "credentials.api.client_key": (
        "PEM file with its key, without a password. Refused if others can read it, or if anyone but its owner can"
        " write it. May be the same file."
    ),
    "credentials.api.timeout": "An answer that takes longer counts as none.",
    "credentials.api.renew_before": (
        "New credentials are fetched this long before the old ones end, but never earlier than in the last third "
        "of their life."
    ),
    "credentials.chain.profile": (
        "Instead of `credentials.api`: boto3's own chain, walked by `credentials: {chain: {}}`. `null`: variables"
        " `AWS_...`, `$AWS_PROFILE`, else the default profile, then the machine's role; a name: this profile "
        "alone. See below."
    ),
    "destination.bucket": "The bucket's name.",
    "destination.prefix": "Begins every key; used as it is. No `/` in front.",
    "destination.region": "The bucket's region.",
    "destination.endpoint_url": "For S3-compatible stores. `syncd check` warns about `http` to another machine.",
    "destination.addressing_style": (
        "`path`: the bucket stands in the path. `virtual`: before the host name, `BUCKET.HOST`. `auto`: before "
        "the host name at AWS, in the path with an `endpoint_url`."
    ),
    "destination.ca_file": "PEM file to trust instead of the system's store.",
    "destination.proxy": (
        "`http://HOST:PORT`, `https://` where the proxy itself speaks TLS. S3 is reached through it by CONNECT "
        "and proves its own name by TLS as ever. May hold `USER:PASSWORD@`; then nobody else should read this "
        "file. Variables such as `HTTPS_PROXY` count for nothing. The credential API is always asked directly."
    ),
    "destination.expected_bucket_owner": (
        "The 12 digits of an AWS account, in quotes. Every request names it, and S3 refuses where the bucket is "
        "another account's."
    ),
    "destination.storage_class": (
        "Such as `STANDARD_IA` or `GLACIER_IR`. `null`: what the bucket has by default. A class that the store "
        "does not know locks the destination."
    ),
    "destination.server_side_encryption": (
        "`AES256` or `aws:kms`. `null`: what the bucket has by default. A store that answers without it locks the"
        " destination: nothing is kept otherwise than asked for."
    ),
    "destination.kms_key_id": (
        "Only with `aws:kms`: the key's id, ARN or alias. `null`: the account's own key for S3. The role needs "
        "`kms:GenerateDataKey` and `kms:Decrypt`. ETags are no MD5 then: with `checksum: md5` the proof is "
        "`md5-parts`."
    ),
    "destination.content_type": (
        "`auto`: by the suffix of the file's name, the same on every machine; `application/octet-stream` where it"
        " is not known. Or one type for every object."
    ),
    "destination.metadata": (
        "Goes with every object as `x-amz-meta-NAME`. Names: lower case; values: printable ASCII; all together at"
        " most 1,024 bytes. Always added: `syncd-upload`, `syncd-device`, `syncd-mtime`, and `syncd-name` where "
        "the key shows the file's name otherwise."
    ),
    "destination.tags": (
        "Object tags, at most 10. Names up to 128, values up to 256 letters, digits, blanks or `+-=._:/@`. The "
        "role needs `s3:PutObjectTagging`."
    ),
    "destination.checksum": (
        "`auto`, `crc64nvme`, `crc32`, `crc32c`, `sha256`, `md5` or `none`. `auto`: CRC64NVME (CRC32 where there "
        "is no awscrt), MD5 where the store ignores it."
    ),
    "destination.if_exists": (
        "`refuse`: a file whose key holds an object that is not this device's is parked. `overwrite`: that very "
        "object is replaced, and the file's history says so. Objects of this device are never overwritten by it: "
        "a file that changed at its path replaces its own object, any other file with that key is parked."
    ),
    "folders[].path": "Absolute. No folder may be, or lie inside, another one, also not through a symlink.",
    "folders[].name": "`{folder}` in keys, and what status calls it. Unique.",
    "folders[].recursive": "`false`: only files directly in the folder.",
    "folders[].include": "Which files to send.",
    "folders[].exclude": "Which files and directories to pass over. Wins over `include`.",
    "folders[].key": "The object's key; see below.",
    "folders[].complete_when.quiet": "A file is finished when it has stayed unchanged for this long. `0s`: one look is enough.",
    "folders[].complete_when.not_open": (
        "`auto`: and nobody has it open for writing, where the system can tell. `require`: wait where it cannot "
        "tell. `off`: do not ask."
    ),
    "folders[].complete_when.marker": (
        "And a file of this name lies beside it. Literal text with `{name}`, `{stem}`, `{suffix}`, such as "
        '`"{name}.done"`.'
    ),
    "folders[].priority": (
        "-100 to 100. For each step more, its files go before others that became due up to 5 minutes earlier; "
        "nobody waits for ever."
    ),
    "folders[].after_upload": (
        "What becomes of the local file once its object is proven: `keep`, `delete`, `{delete: {min_age: 1d}}` or"
        " `{move: {to: DIR, min_age: 0s}}`; see below."
    ),
    "folders[].after_upload.delete.min_age": "So long must have passed since the file last changed.",
    "folders[].after_upload.move.to": (
        "Where files go, with their path below the folder. Outside every watched folder; may be another disk. A "
        "file that lies there already is never replaced."
    ),
    "folders[].after_upload.move.min_age": "As for `delete`.",
    "folders[].watch": "`auto`, `inotify` or `poll`: how changes are noticed between scans.",
    "folders[].rescan": "The whole folder is looked through this often. At least `1s`.",
    "folders[].require_mount": "`true`: the folder waits unless something is mounted at its path.",
    "upload.part_size": "Size of a part, `5MiB` to `5GiB`. Grows by itself so that 10,000 parts are enough.",
    "upload.multipart_threshold": "Files below this go in one request. At most `5GiB`.",
    "upload.files": "Files in flight, 1 to 64.",
    "upload.parts": "Parts in flight, all files together, 1 to 64.",
    "upload.memory": "File data held at once. At least 1 MiB for each of `upload.parts`.",
    "upload.max_rate": "All uploads together go no faster, e.g. `2MB/s`; at least `1kB/s`. `null`: as fast as they can.",
    "upload.connect_timeout": "For a connection, and for a send that makes no progress.",
    "upload.read_timeout": "For an answer.",
    "state": "The ledger: queue and history.",
    "retention": (
        "History is kept this long, and what is known of files that are gone. A file that is there stays known. "
        "At least `1d`."
    ),
    "console.socket": "Where `status`, `explain` and `retry` ask.",
    "console.listen": (
        '`127.0.0.1:PORT`, `localhost:PORT` or `"[::1]:PORT"`: the status page, `/status.json`, `/metrics` and `/healthz` over'
        " HTTP, for reading only. Whoever reaches this port on the machine sees names and paths of files, never a secret."
        " From elsewhere: `ssh -L`, or a reverse proxy with a login. `null`: none."
    ),
    "log.level": "`debug`, `info`, `warning` or `error`.",
    "log.format": "`console`, `json`, or `auto`: console on a terminal, JSON elsewhere.",
}
