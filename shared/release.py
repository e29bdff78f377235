"""How released models are named in the TUF repository: what the cloud signs and what a gateway asks for.

Targets: `channel.json` says which version of each model gateways shall run; `models/<name>/<version>/model.onnx` and
`card.json` are the model itself. All are signed; a gateway trusts nothing else.
"""

import msgspec

from shared.errors import ModelUntrusted

CHANNEL_TARGET = "channel.json"
METADATA_PATH = "/v1/releases/metadata/"
TARGETS_PATH = "/v1/releases/targets/"


class Channel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Model name to version."""

    models: dict[str, str]


def model_target(name: str, version: str) -> str:
    """Return the target path of a model file."""
    return f"models/{name}/{version}/model.onnx"


def card_target(name: str, version: str) -> str:
    """Return the target path of a model's card."""
    return f"models/{name}/{version}/card.json"


def read_channel(body: bytes) -> Channel:
    """Read the channel target.

    Raises: ModelUntrusted when it is not one.
    """
    try:
        return msgspec.json.decode(body, type=Channel)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ModelUntrusted(f"channel cannot be read: {exc}") from exc
