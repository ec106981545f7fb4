"""What a schema cannot say of a request. What `filter_case` refuses is not sent."""

import unicodedata

import schemathesis
from schemathesis import GenerationMode


@schemathesis.hook
def filter_case(context, case):
    body = case.body if isinstance(case.body, dict) else {}
    if case.meta.generation.mode == GenerationMode.NEGATIVE:
        # `\r\n` counts as one character of a text.
        content = body.get("content")
        return not (isinstance(content, str) and "\r\n" in content and len(content) > 8000)
    query = case.query or {}
    drafts = [draft for draft in [body, *(body.get("messages") or [])] if isinstance(draft, dict)]
    return (
        # Pages that exclude each other.
        not ("page" in query and "after" in query)
        and not ("around" in query and ("before" in query or "after" in query))
        # A password is counted in bytes, after normalization.
        and is_password(body)
        # A trunk prefix is only dialled without the country's code before it.
        and "(0)" not in str(body.get("phone"))
        # Without a cookie there must be a token.
        and not (case.path == "/api/auth/refresh-token" and not body.get("refreshToken"))
        # Whoever is mentioned is a member, and a reply answers a message of the room.
        and not any(draft.get("mentions") or draft.get("replyTo") for draft in drafts)
        # Either all messages have an id, or none.
        and len({bool(draft.get("clientMessageId")) for draft in drafts[1:]}) < 2
        # Texts have something to see.
        and all(has_text(draft.get(name)) for draft in drafts for name in TEXTS)
        # `userId` is whoever signed in, and who manages members is not one of those managed.
        and "schemathesis" not in str((case.path_parameters or {}).get("userId"))
        # The fields of forms have ordinary names.
        and (case.media_type != "multipart/form-data" or all(name.isidentifier() for name in body))
    )


TEXTS = ["content", "name", "username", "email", "organizationName", "reason"]


def has_text(value):
    return not isinstance(value, str) or value.strip() != ""


def is_password(body):
    password = body.get("password")
    return not isinstance(password, str) or 8 <= len(unicodedata.normalize("NFKC", password).encode()) <= 72
