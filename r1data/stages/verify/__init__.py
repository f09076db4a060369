from r1data.stages.verify.api import verify, verify_many
from r1data.stages.verify.extract import extract_answer
from r1data.stages.verify.policy import VerifyPolicy

__all__ = ["VerifyPolicy", "extract_answer", "verify", "verify_many"]
