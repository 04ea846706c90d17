"""Exported networks on their way to a worker: each content once, as long as somebody waits for it.

Whoever keeps one or removes the unused ones is the only writer then (`writing(alone=True)`).
"""

import hashlib

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from repghost.latency.queue.tables import BlobRow, MeasurementRow


def keep(content: bytes, session: Session) -> str:
    """Store a file where it is not yet; return its digest."""
    digest = hashlib.sha256(content).hexdigest()
    if session.scalars(select(BlobRow.digest).filter_by(digest=digest)).first() is None:
        session.add(BlobRow(digest=digest, content=content))
        session.flush()
    return digest


def content_of(digest: str, session: Session) -> bytes | None:
    """Return a file, None where nobody waits for it any more."""
    return session.scalars(select(BlobRow.content).filter_by(digest=digest)).first()


def remove_unused(session: Session) -> None:
    """Remove the files that no measurement needs which is still to be made."""
    models, references = MeasurementRow.model, MeasurementRow.reference_model
    used = [select(column).where(column.is_not(None)) for column in (models, references)]
    session.execute(delete(BlobRow).where(*(BlobRow.digest.not_in(one) for one in used)))
