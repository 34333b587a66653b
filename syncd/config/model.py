"""The configuration as a typed tree: every key that works, its default, what it may be.

Frozen and strict; unknown keys are errors. Read it with `syncd.config.load`: what a null stands for (host name, state
directory, token) is filled in from the `Surroundings` that come as validation context, so that the tree has concrete
values only. Rules between keys are in `rules`.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, ValidationInfo

from syncd.config.scalars import (
    FOLDER_NAME,
    AbsolutePath,
    AccountId,
    ApiUrl,
    BucketName,
    ContentType,
    DeviceName,
    EndpointUrl,
    Flag,
    Glob,
    KeyTemplate,
    KmsKey,
    ListenAddress,
    Marker,
    Metadata,
    Prefix,
    ProfileName,
    ProxyUrl,
    RegionName,
    StorageClass,
    Tags,
    choice,
    count,
    disposal_rule,
    duration,
    or_from,
    rate,
    size,
    some,
)
from syncd.config.surroundings import Surroundings

MIB: Final = 2**20
GIB: Final = 2**30
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html: parts of 5 MiB to 5 GiB, PutObject up to 5 GiB.
SMALLEST_PART: Final = 5 * MIB
LARGEST_BODY: Final = 5 * GIB

# A default that only validation can tell: see `or_from`.
_FILLED_IN: Final[Any] = Field(default=None, validate_default=True)
_AT_LEAST_ONE: Final[Any] = Field(json_schema_extra={"minItems": 1})

IfExists = Literal["refuse", "overwrite"]
Encryption = Literal["AES256", "aws:kms"]
AddressingStyle = Literal["auto", "path", "virtual"]
Checksum = Literal["auto", "crc64nvme", "crc32", "crc32c", "sha256", "md5", "none"]
NotOpen = Literal["auto", "require", "off"]
Watch = Literal["auto", "inotify", "poll"]
Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "console", "json"]


_MOMENT: Final = timedelta(milliseconds=1)


def _surroundings(info: ValidationInfo) -> Surroundings:
    return cast("Surroundings", info.context)


def _last_part(info: ValidationInfo) -> str:
    if "path" not in info.data:
        return "unnamed"  # the path is wrong and says so itself
    name = Path(info.data["path"]).name
    if not name:
        raise ValueError("is missing, and path has no last part to take it from")
    return name


def _with_socket(console: object, info: ValidationInfo) -> object:
    """The console section with its socket filled in beside the ledger, which is validated before it."""
    if not isinstance(console, dict) or console.get("socket") is not None:
        return console
    ledger = info.data.get("state", Path("/state.db"))  # absent: the state is wrong and says so itself
    return console | {"socket": str(_surroundings(info).control_socket(ledger))}


class Section(BaseModel):
    """What all sections have in common. Values never show in error messages."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", hide_input_in_errors=True)


class Api(Section):
    """The HTTP API that hands out temporary credentials."""

    url: ApiUrl
    token_file: Annotated[AbsolutePath, or_from(lambda info: str(_surroundings(info).token_file()))] = (
        _FILLED_IN
    )
    ca_file: AbsolutePath | None = None
    client_cert: AbsolutePath | None = None
    client_key: AbsolutePath | None = None
    timeout: Annotated[timedelta, duration(_MOMENT)] = timedelta(seconds=30)
    renew_before: Annotated[timedelta, duration(_MOMENT)] = timedelta(minutes=10)


class Chain(Section):
    """boto3's own chain: environment, profile, credential_process, instance role."""

    profile: ProfileName | None = None


class Credentials(Section):
    """Where credentials come from: one of the two."""

    api: Api | None = None
    chain: Chain | None = None


class Destination(Section):
    """The bucket. `bucket`, `prefix` and `region` None: what the credential API answers, else the default."""

    bucket: BucketName | None = None
    prefix: Prefix | None = None
    region: RegionName | None = None
    endpoint_url: EndpointUrl | None = None
    addressing_style: Annotated[AddressingStyle, choice(AddressingStyle)] = "auto"
    ca_file: AbsolutePath | None = None
    proxy: ProxyUrl | None = None
    expected_bucket_owner: AccountId | None = None
    storage_class: StorageClass | None = None
    server_side_encryption: Annotated[Encryption, choice(Encryption)] | None = None
    kms_key_id: KmsKey | None = None
    content_type: ContentType = "auto"
    metadata: Metadata = Field(default_factory=dict)
    tags: Tags = Field(default_factory=dict)
    checksum: Annotated[Checksum, choice(Checksum)] = "auto"
    if_exists: Annotated[IfExists, choice(IfExists)] = "refuse"


class CompleteWhen(Section):
    """When a file counts as finished."""

    quiet: Annotated[timedelta, duration(timedelta(0))] = timedelta(seconds=10)
    not_open: Annotated[NotOpen, choice(NotOpen)] = "auto"
    marker: Marker | None = None


class Delete(Section):
    """Delete the local file once its object is proven, and so long has passed since its last change."""

    min_age: Annotated[timedelta, duration(timedelta(0))] = timedelta(0)


class MoveTo(Section):
    """Move the local file below a directory; a file that lies there already is never replaced."""

    to: AbsolutePath
    min_age: Annotated[timedelta, duration(timedelta(0))] = timedelta(0)


class AfterUpload(Section):
    """What becomes of the local file: kept where neither is given."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    delete: Delete | None = None
    move: MoveTo | None = None


class Folder(Section):
    """One watched folder."""

    path: AbsolutePath
    name: Annotated[str, FOLDER_NAME, or_from(_last_part)] = _FILLED_IN
    recursive: Flag = True
    include: Annotated[tuple[Glob, ...], Strict(False), AfterValidator(some), _AT_LEAST_ONE] = ("**",)
    exclude: Annotated[tuple[Glob, ...], Strict(False)] = (".*", "*.tmp", "*.part", "*.partial", "*~")
    key: KeyTemplate = "{prefix}{folder}/{path}"
    complete_when: CompleteWhen = CompleteWhen()
    priority: Annotated[int, count(-100, 100)] = 0
    after_upload: Annotated[
        AfterUpload,
        BeforeValidator(disposal_rule, json_schema_input_type=Literal["keep", "delete"] | AfterUpload),
    ] = AfterUpload()
    watch: Annotated[Watch, choice(Watch)] = "auto"
    rescan: Annotated[timedelta, duration(timedelta(seconds=1))] = timedelta(minutes=5)
    require_mount: Flag = False


class Upload(Section):
    """How bytes travel: sizes in bytes."""

    part_size: Annotated[int, size(SMALLEST_PART, LARGEST_BODY)] = 16 * MIB
    multipart_threshold: Annotated[int, size(1, LARGEST_BODY)] = 16 * MIB
    files: Annotated[int, count(1, 64)] = 4
    parts: Annotated[int, count(1, 64)] = 4
    memory: Annotated[int, size(MIB)] = 128 * MIB
    max_rate: Annotated[int | None, rate(1000)] = None
    connect_timeout: Annotated[timedelta, duration(_MOMENT)] = timedelta(seconds=30)
    read_timeout: Annotated[timedelta, duration(_MOMENT)] = timedelta(seconds=120)


class Console(Section):
    """How people look in."""

    socket: AbsolutePath
    listen: ListenAddress | None = None


class Log(Section):
    """What is logged, and how it looks."""

    level: Annotated[Level, choice(Level)] = "info"
    format: Annotated[Format, choice(Format)] = "auto"


class Config(Section):
    """The whole configuration, every value concrete."""

    device: Annotated[DeviceName, or_from(lambda info: _surroundings(info).device())] = _FILLED_IN
    credentials: Credentials
    destination: Destination = Destination()
    folders: Annotated[tuple[Folder, ...], Strict(False), AfterValidator(some), _AT_LEAST_ONE]
    upload: Upload = Upload()
    state: Annotated[AbsolutePath, or_from(lambda info: str(_surroundings(info).ledger()))] = _FILLED_IN
    retention: Annotated[timedelta, duration(timedelta(days=1))] = timedelta(days=90)
    console: Annotated[Console, BeforeValidator(_with_socket)] = Field(
        default=cast("Console", {}), validate_default=True
    )
    log: Log = Log()

    @property
    def socket(self) -> Path:
        """Where the control socket lies."""
        return self.console.socket
