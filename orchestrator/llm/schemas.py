"""JSON Schemas in the words that each server takes. What is left out here is still checked when the answer is there."""

from __future__ import annotations

from typing import Any

#: What Gemini takes, see ``generationConfig.responseJsonSchema`` in https://ai.google.dev/api/generate-content.
GEMINI = frozenset(
    {"$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items", "prefixItems"}
    | {"minItems", "maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties", "additionalProperties", "required"}
)

#: What OpenAI takes under ``strict``, see https://developers.openai.com/api/docs/guides/structured-outputs.
STRICT = frozenset(
    {"$defs", "$ref", "type", "format", "title", "description", "enum", "const", "items", "minItems", "maxItems"}
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "pattern", "anyOf", "properties"}
    | {"additionalProperties", "required"}
)

#: Words whose value is a schema, a list of them, or a mapping to them.
ONE = ("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else")
LIST = ("anyOf", "oneOf", "allOf", "prefixItems")
MAPPING = ("properties", "$defs", "patternProperties", "dependentSchemas")


def narrowed(schema: Any, words: frozenset[str]) -> Any:
    """The schema in these words alone. Each word left out makes it looser, so all that fits the original fits it."""
    if not isinstance(schema, dict):
        return schema  # true or false
    if "$ref" in schema and "$ref" in words:
        # beside $ref, nothing but what begins with a dollar sign is taken
        schema = {word: value for word, value in schema.items() if word.startswith("$")}
    found: dict[str, Any] = {}
    for word, value in schema.items():
        if word == "const" and word not in words:
            if not isinstance(value, (bool, type(None))):  # an enum is for strings and numbers
                found["enum"] = [value]
        elif word not in words:
            continue
        elif word in ONE:
            found[word] = narrowed(value, words)
        elif word in LIST:
            found[word] = [narrowed(part, words) for part in value]
        elif word in MAPPING:
            found[word] = {name: narrowed(part, words) for name, part in value.items()}
        else:
            found[word] = value
    return found


def can_be_strict(schema: Any, root: bool = True) -> bool:
    """Whether OpenAI takes a schema of its words under ``strict``: every object names all its properties as required.

    The root must be an object. ``oneOf`` and ``allOf`` are not among its words: without them it would be far looser.
    """
    if not isinstance(schema, dict):
        return True
    if root and (schema.get("type") != "object" or "anyOf" in schema):
        return False
    if {"oneOf", "allOf", "not", "if", "patternProperties", "dependentSchemas", "prefixItems"} & set(schema):
        return False
    properties = schema.get("properties", {})
    closed = schema.get("additionalProperties") is False and set(schema.get("required", ())) == set(properties)
    if (schema.get("type") == "object" or properties) and not closed:
        return False
    parts = [schema[word] for word in ONE if word in schema]
    parts += [part for word in LIST for part in schema.get(word, ())]
    parts += [part for word in MAPPING for part in schema.get(word, {}).values()]
    return all(can_be_strict(part, root=False) for part in parts)
