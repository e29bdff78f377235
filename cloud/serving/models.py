"""Which models are served: those that may be released, each version loaded once, and by default what gateways run."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping

from cloud.registry.release import check_releasable, open_repository
from cloud.serving.predictor import Predictor
from cloud.serving.schema import Schema
from cloud.settings import Layout
from cloud.training.artifacts import MODEL_FILE, Artifacts, read_artifact
from cloud.training.export import OnnxModel
from shared.clock import NS_PER_S, Clock
from shared.errors import ConfigError, ModelError, ModelIncompatible
from shared.log import get_logger
from shared.release import CHANNEL_TARGET, read_channel

# A release or a new model is noticed after this long; a request between looks at no file.
_LOOK_AGAIN_NS = 2 * NS_PER_S


class Models:
    """The models of one cloud. Files are read in threads; the `most` versions that were asked for last stay loaded."""

    def __init__(self, layout: Layout, clock: Clock, schemas: Mapping[str, Schema], *, most: int) -> None:
        self._layout = layout
        self._artifacts = Artifacts(layout)
        self._clock = clock
        self._schemas = schemas
        self._most = most
        self._loaded: OrderedDict[tuple[str, str], Predictor] = OrderedDict()
        self._refused: dict[tuple[str, str], ModelError] = {}
        self._defaults: dict[str, tuple[int, str]] = {}
        self._loading = asyncio.Lock()

    async def get(self, name: str, version: str | None) -> Predictor:
        """Return a model; without a version the one that gateways run, else the newest that may be released.

        Raises: ConfigError when there is no such model or version; ModelError when it may not be served.
        """
        predictor = self._known(name, version)
        if predictor is None:
            async with self._loading:
                predictor = self._known(name, version)
                if predictor is None:
                    predictor = await asyncio.to_thread(self._find, name, version)
                    self._keep(predictor, is_default=version is None)
        self._loaded.move_to_end((name, predictor.card.version))
        return predictor

    def versions(self, name: str) -> list[str]:
        """Return the trained versions of a model, oldest first; reads the disk."""
        return self._artifacts.versions(name)

    def loaded(self) -> int:
        """Return how many versions are held in memory."""
        return len(self._loaded)

    def _keep(self, predictor: Predictor, *, is_default: bool) -> None:
        name, version = predictor.card.name, predictor.card.version
        if is_default:
            self._defaults[name] = (self._clock.mono_ns(), version)
        self._loaded[name, version] = predictor
        self._loaded.move_to_end((name, version))
        while len(self._loaded) > self._most:
            self._loaded.popitem(last=False)

    def _known(self, name: str, version: str | None) -> Predictor | None:
        if version is None:
            looked_ns, version = self._defaults.get(name, (0, ""))
            if not version or self._clock.mono_ns() - looked_ns > _LOOK_AGAIN_NS:
                return None
        return self._loaded.get((name, version))

    def _find(self, name: str, version: str | None) -> Predictor:
        known = self._artifacts.versions(name)
        if not known:
            raise ConfigError("model", f"no {name} was trained here")
        if version is not None:
            if version not in known:
                raise ConfigError("version", f"{name} has no version {version!r}; known: {', '.join(known)}")
            return self._load(name, version)
        released = self._released().get(name)
        if released in known:
            return self._load(name, released)
        refusal: ModelError | None = None
        for newest in reversed(known):
            try:
                return self._load(name, newest)
            except ModelError as exc:
                refusal = refusal or exc
        raise ModelIncompatible(f"no version of {name} may be released: {refusal}")

    def _load(self, name: str, version: str) -> Predictor:
        key = (name, version)
        if key in self._refused:
            raise self._refused[key]
        loaded = self._loaded.get(key)
        if loaded is not None:
            return loaded
        try:
            return self._read(name, version)
        except ModelError as exc:
            # A version never changes, so it need not be tried again.
            self._refused[key] = exc
            raise

    def _read(self, name: str, version: str) -> Predictor:
        folder = self._artifacts.folder(name, version)
        card, body = read_artifact(folder), (folder / MODEL_FILE).read_bytes()
        if (card.name, card.version) != (name, version):
            raise ModelIncompatible(f"the card of {name} {version} is that of {card.name} {card.version}")
        check_releasable(card, body)
        schema = self._schemas[name]
        if card.feature_set != schema.features.set_id:
            raise ModelIncompatible(
                f"{name} {card.version} takes {card.feature_set}; served is {schema.features.set_id}"
            )
        get_logger("serving").info("model loaded", model=name, version=card.version)
        return Predictor(card=card, schema=schema, model=OnnxModel(body))

    def _released(self) -> Mapping[str, str]:
        """Return what gateways are told to run; nothing where releases were never set up."""
        try:
            body = open_repository(self._layout, self._clock).read(CHANNEL_TARGET)
            return {} if body is None else read_channel(body).models
        except ConfigError:
            return {}
        except ModelError as exc:
            get_logger("serving").warning("the releases cannot be read; the newest models are served", problem=str(exc))
            return {}
