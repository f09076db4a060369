"""What counts as an answer, and as the same answer: the questions on which graders differ."""

from typing import Literal

from pydantic import Field

from r1data.core.stage import Config
from r1data.stages.verify.extract import Extract


class VerifyPolicy(Config):
    """What counts as an answer, and as the same answer."""

    extract: Extract = "any"
    """any: boxes, answer tags, answer phrases, the last number; marked: boxes and tags alone."""
    percent: Literal["any", "hundredth"] = "any"
    """Whether 50% equals both 50 and 0.5 (any) or 0.5 alone (hundredth)."""
    order: Literal["any", "given"] = "any"
    """Whether the members of a list such as `1, 2` may come in any order. Tuples keep theirs."""
    interval: Literal["any", "strict"] = "any"
    """Whether `(1,2)`, `1<x<2` and `x \\in (1,2)` are the same answer (any)."""
    tolerance: float = Field(default=1e-4, ge=0, lt=1)
    """Relative error allowed where the gold answer is a decimal; 0 asks for its exact value. An
    integer gold allows for noise of rounded steps alone (299.94 answers 300), and nothing at 0."""
    digits: int = Field(default=3, ge=0)
    """Significant digits to which a decimal may round an exact gold answer; 0 asks for the value
    itself. A decimal gold is likewise matched by what rounds to it."""
    form: Literal["any", "simplified"] = "any"
    """Whether 2/4 answers 1/2 (any), or fractions and roots have to be reduced (simplified)."""
    code_timeout: float = Field(default=5.0, gt=0)
    """Wall seconds of a program whose payload names none."""
    unsafe_local: bool = False
    """Run programs without a sandbox if there is none: network and files are then not cut off."""
    judge_url: str | None = None
    """Base URL of an OpenAI-compatible server, asked about rows that the rules reject or cannot
    judge, and about problems whose verifier is `judge`. It never overrides an accept."""
    judge_model: str | None = None
    """Name of the judge's model at that server."""
    judge_key: str | None = None
    """Name of the environment variable that holds the server's key."""
    judge_accept: int = Field(default=7, ge=1, le=10)
    """Grade from which a response without a reference answer is accepted."""
    reward_model: str | None = None
    """Folder of a sequence-classification model, for problems whose verifier is `reward-model`."""
    reward_threshold: float = Field(default=0.5, ge=0, le=1)
    """Score from which the reward model's verdict is correct."""
