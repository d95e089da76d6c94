"""All forms of composites, by the operation at which each is found."""

from __future__ import annotations

from xlathe.compiler.composites import activations, losses, norms, rotary, softmax
from xlathe.compiler.composites.form import Form

FORMS: tuple[Form, ...] = (
    *softmax.FORMS,
    *norms.FORMS,
    *rotary.FORMS,
    *losses.FORMS,
    *activations.FORMS,
)

FORMS_BY_ANCHOR: dict[str, list[Form]] = {}
for _form in FORMS:
    FORMS_BY_ANCHOR.setdefault(_form.anchor, []).append(_form)

ANCHORS = frozenset(FORMS_BY_ANCHOR)
