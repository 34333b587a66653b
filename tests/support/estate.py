"""What has to exist at the gateway so that devices can upload, as in an account of AWS: bucket, roles, policies.

The user `issuer` stands for Lambda: it takes on the API's own role, and that one takes on the upload role.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from support.rgw import REGION, Gateway, Keys

from syncd.credential_api.devices import Device
from syncd.credential_api.issue import Role, assume_role, compact
from syncd.credential_api.policies import Setup, bucket_policy, permission_policy, trust_policy

POLICY = "upload"


class Estate:
    """Bucket and roles of their own for one test, named in `setup`. `admin` sees and may all."""

    def __init__(self, gateway: Gateway, name: str) -> None:
        self.gateway = gateway
        self.setup = Setup(
            account=gateway.account,
            region=REGION,
            bucket=f"captures-{name}",
            execution_role=f"api-{name}",
            upload_role=f"upload-{name}",
        )
        self.role = Role(arn=self.setup.upload_role_arn, region=REGION, session_seconds=3600)
        self.admin = gateway.client("s3", gateway.keys("admin"))
        self._iam = gateway.client("iam", gateway.keys("admin"))
        self.admin.create_bucket(Bucket=self.setup.bucket)
        self._make_role(self.setup.execution_role, self._lambda_trust())
        self._make_role(self.setup.upload_role, trust_policy(self.setup))
        self.allow_uploads()
        self.api = self._api_session()

    def _lambda_trust(self) -> dict[str, Any]:
        """In place of `execution_trust_policy`, for there is no Lambda here.

        The Deny: to this gateway the session of a role is also still the user who asked for the first one.
        """
        user, action = f"arn:aws:iam::{self.setup.account}:user/issuer", "sts:AssumeRole"
        allow = {"Effect": "Allow", "Principal": {"AWS": [user]}, "Action": action}
        deny = {"Effect": "Deny", "Principal": {"AWS": [self.setup.upload_role_arn]}, "Action": action}
        return {"Version": "2012-10-17", "Statement": [allow, deny]}

    def _make_role(self, name: str, trust: dict[str, Any]) -> None:
        self._iam.create_role(RoleName=name, AssumeRolePolicyDocument=compact(trust))

    def _api_session(self) -> Keys:
        sts = self.gateway.client("sts", self.gateway.keys("issuer"))
        role = self.setup.execution_role_arn
        return Keys.of(sts.assume_role(RoleArn=role, RoleSessionName="api", DurationSeconds=3600))

    @property
    def bucket(self) -> str:
        return self.setup.bucket

    def allow_uploads(self) -> None:
        """Give the upload role its policy, or give it back."""
        self._iam.put_role_policy(
            RoleName=self.setup.upload_role,
            PolicyName=POLICY,
            PolicyDocument=compact(permission_policy(self.setup)),
        )

    def forbid_uploads(self) -> None:
        """Take the upload role's policy away."""
        self._iam.delete_role_policy(RoleName=self.setup.upload_role, PolicyName=POLICY)

    def trust(self, principal_arn: str) -> None:
        """Name somebody beside the API who may take on the upload role."""
        named = replace(self.setup, principal_arn=principal_arn)
        self._iam.update_assume_role_policy(
            RoleName=self.setup.upload_role, PolicyDocument=compact(trust_policy(named))
        )

    def device(self, name: str = "cam", **more: Any) -> Device:
        return Device(**{"name": name, "bucket": self.bucket, "prefix": f"{name}/"} | more)

    def session(self, device: Device, *, seconds: int = 3600, asker: Keys | None = None) -> Keys:
        """What the credential API would give to the device."""
        asked = assume_role(device, replace(self.role, session_seconds=seconds))
        return Keys.of(self.gateway.client("sts", asker or self.api).assume_role(**asked))

    def s3(self, device: Device, *, seconds: int = 3600) -> Any:
        """A client with a fresh session of the device."""
        return self.gateway.client("s3", self.session(device, seconds=seconds))

    def require_tls(self) -> None:
        """Give the bucket the policy that is printed for it."""
        policy = compact(bucket_policy(self.setup))
        self.admin.put_bucket_policy(Bucket=self.bucket, Policy=policy)

    def read(self, key: str) -> bytes:
        """The object, as the admin sees it."""
        return bytes(self.admin.get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def object_keys(self) -> list[str]:
        """Of all objects, also of what no session may list."""
        return [each["Key"] for each in self.admin.list_objects_v2(Bucket=self.bucket).get("Contents", [])]

    def parts(self, key: str) -> dict[int, Any]:
        """The parts of the one open upload of the key, each by its number with the time it arrived; none without one."""
        for upload in self.admin.list_multipart_uploads(Bucket=self.bucket).get("Uploads", []):
            if upload["Key"] == key:
                return self._parts_of(key, upload["UploadId"])
        return {}

    def _parts_of(self, key: str, upload_id: str) -> dict[int, Any]:
        try:
            answer = self.admin.list_parts(Bucket=self.bucket, Key=key, UploadId=upload_id)
        except self.admin.exceptions.NoSuchKey:  # completed in between
            return {}
        return {part["PartNumber"]: part["LastModified"] for part in answer.get("Parts", [])}

    def sent(self, key: str) -> Counter[int]:
        """How often the gateway accepted each part of the key."""
        requests = self.gateway.requests(self.bucket, key)
        return Counter(request.part for request in requests if request.part is not None)
