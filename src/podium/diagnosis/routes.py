"""The diagnosis over HTTP."""

from dataclasses import asdict
from typing import Annotated

from fastapi import Depends
from pydantic import BaseModel, Field

from podium import __version__
from podium.diagnosis.model import Severity
from podium.diagnosis.service import CHECKS, DiagnosisService
from podium.kernel.web import api_router, provided
from podium.principals.http import require
from podium.principals.model import Principal

router = api_router("", "server")


class DiagnosisFinding(BaseModel):
    """Something that is wrong."""

    check: str = Field(description="Which check found it.")
    code: str = Field(description="What is wrong, for programs.")
    outcome: Severity = Field(description="`failed` where work stands still, else `warning`.")
    where: str = Field(description="What it is about, such as project/queue.")
    detail: str = Field(description="What is the matter.")
    advice: str = Field(description="What to do about it.")


class Diagnosis(BaseModel):
    """What the server knows to be wrong."""

    version: str
    checks: list[str] = Field(description="All that were made, in order.")
    findings: list[DiagnosisFinding] = Field(description="In the order of the checks.")


@router.get("/diagnosis", summary="Tell what is wrong with the installation")
async def get_diagnosis(
    reader: Annotated[Principal, Depends(require("workers:read"))],
    service: Annotated[DiagnosisService, Depends(provided(DiagnosisService))],
) -> Diagnosis:
    """`podium doctor` asks this. Tokens that expire soon are told to who may list tokens."""
    may_list = reader.has("tokens:write")
    found = await service.look(tokens=may_list)
    return Diagnosis(
        version=__version__,
        checks=[check for check in CHECKS if may_list or check != "tokens"],
        findings=[DiagnosisFinding.model_validate(asdict(each)) for each in found],
    )
