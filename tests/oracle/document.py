"""Reads the part of GraphQL that the operations use: one query, aliases, arguments, variables, literals. No fragments, no directives."""
import re
from dataclasses import dataclass

TOKEN = re.compile(r'[\s,\ufeff]+|#[^\n]*|(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<name>[_A-Za-z]\w*)|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<punctuator>[!$(){}\[\]:=])')


@dataclass
class Field:
    alias: str
    name: str
    arguments: dict
    selection: list        # of Field; empty: a leaf


class Variable(str):
    """A name that the variables of the request replace."""


def tokens(text):
    at, out = 0, []
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            raise ValueError(f"no GraphQL at {text[at:at + 20]!r}")
        at = match.end()
        if match.lastgroup:
            out.append((match.lastgroup, match.group()))
    return out


class Reader:
    def __init__(self, text):
        self.tokens, self.at = tokens(text), 0

    def peek(self):
        return self.tokens[self.at][1] if self.at < len(self.tokens) else None

    def take(self, expected=None):
        kind, text = self.tokens[self.at]
        if expected is not None and text != expected:
            raise ValueError(f"expected {expected} got {text}")
        self.at += 1
        return kind, text

    def value(self):
        import json
        kind, text = self.take()
        if text == "$":
            return Variable(self.take()[1])
        if text == "[":
            items = []
            while self.peek() != "]":
                items.append(self.value())
            self.take("]")
            return items
        if text == "{":
            items = {}
            while self.peek() != "}":
                name = self.take()[1]
                self.take(":")
                items[name] = self.value()
            self.take("}")
            return items
        if kind == "string":
            return json.loads(text)
        if kind == "number":
            return int(text) if re.fullmatch(r"-?\d+", text) else float(text)
        return {"true": True, "false": False, "null": None}.get(text, text)

    def selection(self):
        fields = []
        self.take("{")
        while self.peek() != "}":
            alias = name = self.take()[1]
            if self.peek() == ":":
                self.take(":")
                name = self.take()[1]
            arguments = {}
            if self.peek() == "(":
                self.take("(")
                while self.peek() != ")":
                    argument = self.take()[1]
                    self.take(":")
                    arguments[argument] = self.value()
                self.take(")")
            fields.append(Field(alias, name, arguments, self.selection() if self.peek() == "{" else []))
        self.take("}")
        return fields


def filled(value, variables):
    if isinstance(value, Variable):
        return variables.get(str(value))
    if isinstance(value, list):
        return [filled(v, variables) for v in value]
    if isinstance(value, dict):
        return {k: filled(v, variables) for k, v in value.items()}
    return value


def read(text, variables):
    """The root fields of the only operation, with the variables filled in."""
    reader = Reader(text)
    while reader.peek() != "{":              # `query Name($window: TimeWindowInput!)`
        reader.take()

    def fill(field):
        return Field(field.alias, field.name, filled(field.arguments, variables), [fill(f) for f in field.selection])
    return [fill(f) for f in reader.selection()]
