"""The Hugging Face Hub: repository names, the dataset card's YAML, and one commit.

``huggingface_hub`` is imported inside the functions; it reads its environment (HF_TOKEN,
HF_ENDPOINT, HF_HOME) when it is first imported.
"""

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from r1data.core.errors import BackendError, ConfigError, InputError

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

START = "<!-- r1data:start -->"
END = "<!-- r1data:end -->"
"""What stands between these marks of a card is written anew; the rest is left as it is."""

README = "README.md"
# fmt: off
LICENCES = frozenset((
    "afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bsd-2-clause", "bsd-3-clause",
    "bsd-3-clause-clear", "bsl-1.0", "c-uda", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0",
    "cc-by-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-3.0",
    "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0",
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0",
    "cdla-sharing-1.0", "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "eupl-1.2",
    "gemma", "gfdl", "gpl-2.0", "gpl-3.0", "isc", "lgpl-2.1", "lgpl-3.0", "llama2", "llama3",
    "llama3.1", "llama3.2", "llama3.3", "mit", "mpl-2.0", "ms-pl", "ncsa", "odbl", "odc-by",
    "ofl-1.1", "openrail", "osl-3.0", "pddl", "postgresql", "unlicense", "wtfpl", "zlib",
))
# fmt: on
"""Identifiers of https://huggingface.co/docs/hub/repositories-licenses that a data set may use."""

_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")
_NAME = re.compile(r"\w(?:[\w.-]*\w)?/\w(?:[\w.-]*\w)?", re.ASCII)
_HUB_ID = re.compile(r"(?:hf:|hub:)?([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)", re.ASCII)
_FILE = re.compile(r"\.(jsonl?|parquet|csv|tsv|txt|gz|zst|arrow)$")
_DTYPES = {pl.String: "string", pl.Int64: "int64", pl.Float64: "float64", pl.Boolean: "bool"}
_SPDX = {"pddl-1.0": "pddl", "odbl-1.0": "odbl", "odc-by-1.0": "odc-by", "cc-pddc": "pddl"}


@dataclass(frozen=True)
class Uploaded:
    """Where a data set is now."""

    url: str
    commit: str


def licence_fields(licences: Sequence[str | None]) -> dict[str, str]:
    """Return the card's ``license`` and ``license_name`` for the distinct licences of the rows.

    One licence that the Hub knows is that licence. Everything else is ``other`` with a name that
    joins the parts; rows of unknown licence (None) count as the part ``unknown``.
    """
    names = sorted({_identifier(name) if name else "unknown" for name in licences})
    if len(names) == 1 and names[0] in LICENCES:
        return {"license": names[0]}
    if not names:
        names = ["unknown"]
    return {"license": "other", "license_name": "-and-".join(names)}


def _identifier(spdx: str) -> str:
    name = re.sub(r"-(only|or-later)$", "", spdx.strip().lower())
    return re.sub(r"[^a-z0-9.+-]+", "-", _SPDX.get(name, name)).strip("-") or "unknown"


def size_category(rows: int) -> str:
    """Return the Hub's size category, such as ``1K<n<10K``."""
    for power, name in enumerate(_SIZES, start=1):
        if rows < 1000 * 10 ** (power - 1):
            return name
    return "1B<n<10B"


def hub_id(source: str | None) -> str | None:
    """Return the data set's id if a problem's source is one, else None."""
    match = _HUB_ID.fullmatch(source or "")
    return None if match is None or _FILE.search(match[1]) else match[1]


def features(schema: pl.Schema) -> list[dict[str, Any]]:
    """Return the columns as ``dataset_info.features``, so that they load as plain strings and
    lists: the Parquet files alone would say large_string."""
    return [{"name": name, **_feature(t)} for name, t in schema.items()]


def _feature(dtype: pl.DataType) -> dict[str, Any]:
    if isinstance(dtype, pl.List):
        inner = _feature(dtype.inner)  # type: ignore[arg-type]  # a class only before a schema
        return {"list": inner.get("struct") or inner["dtype"]}
    if isinstance(dtype, pl.Struct):
        return {"struct": [{"name": f.name, **_feature(f.dtype)} for f in dtype.fields]}  # type: ignore[arg-type]
    return {"dtype": _DTYPES[type(dtype)]}


def check_repo(repo: str) -> None:
    """Raise ConfigError unless ``repo`` is OWNER/NAME as the Hub spells names."""
    if "/" not in repo:
        raise ConfigError(f"--repo {repo}: write OWNER/NAME, for example your-name/{repo}")
    allowed = _NAME.fullmatch(repo) and len(repo) <= 96 and not repo.endswith(".git")
    if not allowed or "--" in repo or ".." in repo:
        raise ConfigError(
            f"--repo {repo}: not a name the Hub allows; write OWNER/NAME with letters, digits, "
            "- _ and . (96 at most, no -- or .., none of - . at an end)"
        )


def token() -> str:
    """Return the user's token, or raise BackendError that says how to log in."""
    from huggingface_hub import get_token

    found = get_token()
    if not found:
        raise BackendError(
            "no Hugging Face token: log in with `hf auth login` or set HF_TOKEN to a token that "
            "may write"
        )
    return found


def dataset_url(repo: str) -> str:
    """Return the address of a data set's page."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/datasets/{repo}"


def merge_card(
    front: Mapping[str, Any], title: str, section: str, existing: str | None = None
) -> str:
    """Return the text of README.md: YAML, then ``section`` between START and END.

    Of an existing card the prose outside the marks stays byte for byte. Of its YAML stay the keys
    that ``front`` lacks, its pretty_name, its tags, and its other configs.

    Raises InputError if the existing YAML cannot be read.
    """
    from huggingface_hub import DatasetCard

    block = f"{START}\n{section.strip()}\n{END}"
    if existing is None or not existing.strip():
        return _with_yaml(front, f"\n# {title}\n\n{block}\n")
    front_matter = re.match(r"\s*---\r?\n", existing)
    old: dict[str, Any] = {}
    body = existing if front_matter is None else ""
    if front_matter is not None:
        try:
            card: Any = DatasetCard(existing)
            old, body = card.data.to_dict(), card.text
        except Exception as error:  # the YAML parser's own tree, and what the card's fields raise
            raise InputError(
                f"README.md of the repository has YAML that cannot be read ({_first_line(error)}); "
                "mend it on the Hub and publish again"
            ) from error
    start, end = body.find(START), body.rfind(END)
    if 0 <= start < end:
        body = body[:start] + block + body[end + len(END) :]
    else:
        body = f"{body.rstrip()}\n\n{block}\n"
    return _with_yaml(_merge_front(old, front), body)


def _with_yaml(front: Mapping[str, Any], body: str) -> str:
    from huggingface_hub import DatasetCard, DatasetCardData

    data: Any = DatasetCardData(**front)
    text = f"---\n{data.to_yaml()}\n---\n{body}"
    read: Any = DatasetCard(text).data
    if read.to_dict() != data.to_dict():
        raise BackendError("the card's YAML does not read back as it was written; please report it")
    return text


def _merge_front(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    names = {entry["config_name"] for entry in new.get("configs", [])}
    merged = {**old, **new}
    if old.get("pretty_name"):
        merged["pretty_name"] = old["pretty_name"]
    if old.get("license_name") != new.get("license_name"):
        merged.pop("license_link", None)
    if "license_name" not in new:
        merged.pop("license_name", None)
    tags = old.get("tags") or []
    merged["tags"] = list(dict.fromkeys([*tags, *new.get("tags", [])]))
    for key in ("configs", "dataset_info"):
        kept = old.get(key) or []
        entries = [kept] if isinstance(kept, dict) else kept
        ours = new.get(key) or []
        others = [e for e in entries if e.get("config_name", "default") not in names]
        merged[key] = [*([ours] if isinstance(ours, dict) else ours), *others]
    return {key: value for key, value in merged.items() if value not in (None, [])}


def upload(
    repo: str,
    files: Mapping[str, Path],
    card: Callable[[str | None], str],
    *,
    private: bool,
    message: str,
    stale: re.Pattern[str],
) -> Uploaded:
    """Make the repository if need be and commit ``files`` and the card at once.

    ``card`` turns the present README.md (None without one) into the new one. Files of the
    repository that match ``stale`` and are not among ``files`` go in the same commit. If somebody
    else commits in between (412), the card is merged again and the commit tried once more.

    Raises BackendError for every refusal of the Hub, ConfigError if an existing repository is
    public where ``private`` was asked, or the other way round.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(token=token())
    with _hub_errors(repo):
        api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        try:
            return _commit(api, repo, files, card, private, message, stale)
        except HfHubHTTPError as error:
            if _status(error) != 412:
                raise
            return _commit(api, repo, files, card, private, message, stale)


def _commit(
    api: "HfApi",
    repo: str,
    files: Mapping[str, Path],
    card: Callable[[str | None], str],
    private: bool,
    message: str,
    stale: re.Pattern[str],
) -> Uploaded:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    info = api.dataset_info(repo)
    if info.private is not None and bool(info.private) != private:
        raise ConfigError(_visibility_fault(repo, private))
    present = [sibling.rfilename for sibling in info.siblings or []]
    existing = _read(api, repo, README, info.sha) if README in present else None
    operations: list[Any] = [
        CommitOperationAdd(name, str(path)) for name, path in sorted(files.items())
    ]
    operations.append(CommitOperationAdd(README, card(existing).encode()))
    gone = [name for name in present if stale.fullmatch(name) and name not in files]
    operations += [CommitOperationDelete(name) for name in gone]
    commit = api.create_commit(
        repo, operations, commit_message=message, repo_type="dataset", parent_commit=info.sha
    )
    return Uploaded(dataset_url(repo), commit.oid)


def _visibility_fault(repo: str, private: bool) -> str:
    if private:
        return f"{repo} is public on the Hub; add --public to publish there, or name another --repo"
    return f"{repo} is private on the Hub; make it public in its settings, or leave out --public"


def _read(api: "HfApi", repo: str, name: str, revision: str | None) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = api.hf_hub_download(
            repo, name, repo_type="dataset", revision=revision, local_dir=folder
        )
        return Path(path).read_bytes().decode("utf-8-sig")


@contextmanager
def _hub_errors(repo: str) -> Iterator[None]:
    """Turn what the client raises into one line. Its own tree is built on its HTTP library's,
    whose name differs between versions of huggingface_hub, so that base is asked for."""
    from huggingface_hub.errors import HfHubHTTPError

    transport: Any = HfHubHTTPError.__bases__
    try:
        yield
    except HfHubHTTPError as error:
        raise BackendError(f"{repo}: {_explain(error)}") from error
    except (*transport, RuntimeError, ValueError) as error:
        cause = error.__cause__
        if isinstance(cause, HfHubHTTPError):
            raise BackendError(f"{repo}: {_explain(cause)}") from error
        reason = f"{_first_line(error)} ({_first_line(cause)})" if cause else _first_line(error)
        raise BackendError(f"{repo}: the upload failed: {reason}; try again") from error


def _status(error: "HfHubHTTPError") -> int:
    return int(error.response.status_code)


def _explain(error: "HfHubHTTPError") -> str:
    status = _status(error)
    said = (error.server_message or "").strip().partition("\n")[0]
    advice = {
        401: "the token was refused; log in again with `hf auth login` or set HF_TOKEN",
        403: "the token may not write there; use a token with write access, or another --repo",
        404: "there is no such user or organisation, or the token cannot see it",
        412: "the repository kept changing while it was written; try again",
        429: "too many requests; try again later",
    }.get(status, "try again later" if status >= 500 else "the request was refused")
    return f"the Hub answered {status}: {advice}" + (f" ({said})" if said else "")


def _first_line(error: BaseException | None) -> str:
    return (str(error).strip() or type(error).__name__).partition("\n")[0]
