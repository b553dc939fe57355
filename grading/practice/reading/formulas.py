"""Formulas in LaTeX, as far as the notebooks use it, as plain text for a terminal: a fraction is a / b, a root is √."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

TOKEN = re.compile(r"\\[A-Za-z]+\*?|\\.|\{,\}|[{}^_]|\s+|[^\\\s{}^_]")
SYMBOLS = {
    "top": "ᵀ",
    "cdot": "·",
    "ell": "ℓ",
    "sum": "Σ",
    "le": "≤",
    "ge": "≥",
    "ne": "≠",
    "dots": "…",
    "times": "×",
    "in": "∈",
    "notin": "∉",
    "subset": "⊂",
    "infty": "∞",
    "partial": "∂",
    "to": "→",
    "mapsto": "↦",
    "pm": "±",
    "leftarrow": "←",
    "rightarrow": "→",
    "approx": "≈",
    "sim": "~",
    "ll": "≪",
    "gg": "≫",
    "circ": "∘",
    "otimes": "⊗",
    "lVert": "‖",
    "rVert": "‖",
    "lfloor": "⌊",
    "rfloor": "⌋",
    "lceil": "⌈",
    "rceil": "⌉",
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "delta": "δ",
    "Delta": "Δ",
    "epsilon": "ε",
    "theta": "θ",
    "Theta": "Θ",
    "kappa": "κ",
    "lambda": "λ",
    "mu": "μ",
    "pi": "π",
    "rho": "ρ",
    "sigma": "σ",
    "tau": "τ",
    "phi": "φ",
    "varphi": "φ",
    "omega": "ω",
    "prod": "Π",
    "int": "∫",
    "nabla": "∇",
    "cdots": "…",
    "ldots": "…",
    "bmod": "mod",
    "propto": "∝",
    "equiv": "≡",
    "neq": "≠",
    "leq": "≤",
    "geq": "≥",
    "langle": "⟨",
    "rangle": "⟩",
}
MARKS = {"|": "‖", "{": "{", "}": "}", "%": "%", "_": "_", "$": "$", "&": "&", "#": "#", ",": " ", ";": " ", " ": " "}
SPACES = {"quad": "  ", "qquad": "    "}
SIZES = {"left", "right", "big", "Big", "bigl", "bigr", "Bigl", "Bigr", "bigg", "Bigg", "textstyle", "displaystyle"}
PLAIN = {"mathrm", "text", "mathbf", "mathcal", "mathit", "operatorname", "textbf", "boldsymbol"}
DOUBLE = {"R": "ℝ", "E": "𝔼", "N": "ℕ", "Z": "ℤ", "1": "𝟙"}
ACCENTS = {"bar": "\u0304", "tilde": "\u0303", "hat": "\u0302", "vec": "\u20d7", "overline": "\u0304"}
RAISED = dict(zip("0123456789+-=()niT", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱᵀ", strict=True)) | {"ᵀ": "ᵀ", "'": "′"}
LOWERED = dict(zip("0123456789+-=()", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎", strict=True))
RELATIONS = ":=|[=≤≥∈∉⊂→←↦≈~≪≫≠·]"


def plain(latex: str) -> str:
    """The formula as a line of text."""
    text = _Formula(latex).all()
    text = re.sub(rf"\s*({RELATIONS})\s*", r" \1 ", text)
    return re.sub(r"\s+", " ", text).strip()


class _Formula:
    """Reads the formula from left to right."""

    def __init__(self, latex: str) -> None:
        self.tokens = TOKEN.findall(latex)
        self.at = 0

    def all(self) -> str:
        return "".join(self._pieces())

    def _pieces(self) -> Iterator[str]:
        """Up to the end of the group, which is taken too."""
        while self.at < len(self.tokens):
            token = self._take()
            if token == "}":
                return
            yield self._piece(token)

    def _take(self) -> str:
        token: str = self.tokens[self.at]
        self.at += 1
        return token

    def _argument(self) -> str:
        """What a command, an exponent or an index is about: a group or the next sign."""
        while self.at < len(self.tokens) and self.tokens[self.at].isspace():
            self.at += 1
        return self._piece(self._take()) if self.at < len(self.tokens) else ""

    def _piece(self, token: str) -> str:
        if token == "{":
            return "".join(self._pieces())
        if token == "{,}":
            return ","
        if token in ("^", "_"):
            return _shifted(token, self._argument().strip())
        if token.startswith("\\"):
            return self._command(token[1:].rstrip("*"))
        return " " if token.isspace() else token

    def _command(self, name: str) -> str:
        if name in ("frac", "tfrac", "dfrac"):
            above = _atom(self._argument())
            return f"{above}/{_atom(self._argument())}"
        if name == "sqrt":
            return f"√{_atom(self._argument())}"
        if name in ("overset", "underset", "stackrel"):
            over, base = self._argument().strip(), self._argument().strip()
            return f"{base}[{over}] "
        if name == "xrightarrow":
            return f" →[{self._argument().strip()}] "
        if name in PLAIN:
            return self._argument()
        if name == "mathbb":
            letter = self._argument()
            return DOUBLE.get(letter, letter)
        if name in ACCENTS:
            return "".join(letter + ACCENTS[name] for letter in self._argument())
        return self._sign(name)

    def _sign(self, name: str) -> str:
        """A sign, or a name such as max, apart from what follows it."""
        if name in SIZES or name == "!":
            return ""
        if name in SYMBOLS:
            return SYMBOLS[name]
        if name in SPACES:
            return SPACES[name]
        if name in MARKS:
            return MARKS[name]
        following = self.tokens[self.at] if self.at < len(self.tokens) else ""
        return name + (" " if following.isalnum() else "")


def _shifted(token: str, text: str) -> str:
    """An exponent or an index: raised or lowered where there are such signs, in brackets where it is long."""
    signs = RAISED if token == "^" else LOWERED
    if text and all(letter in signs for letter in text):
        return "".join(signs[letter] for letter in text)
    return token + (text if re.fullmatch(r"[\w∞′]+", text) else f"({text})")


def _atom(text: str) -> str:
    """The text in brackets, unless it is one thing."""
    text = text.strip()
    return text if re.fullmatch(r"[\w.,ℓᵀ∂…₀-₉⁰-⁹²³¹\u0300-\u036f]+|√\w+", text) else f"({text})"


def without_formulas(markdown: str) -> str:
    """Markdown with its formulas as plain text: those in a line as code, those of their own in a block."""

    def own(found: re.Match[str]) -> str:
        return f"\n\n```\n{plain(found[1])}\n```\n\n"

    def inline(found: re.Match[str]) -> str:
        return f"`{plain(found[1])}`"

    def converted(text: str) -> str:
        text = re.sub(r"\$\$(.+?)\$\$", own, text, flags=re.DOTALL)
        return re.sub(r"\$(?!\s)((?:[^$\n]|\n(?!\n))+?)(?<!\s)\$", inline, text)

    return outside_code(markdown, converted)


def outside_code(markdown: str, change: Callable[[str], str]) -> str:
    """The Markdown, changed where it is not code."""
    parts = re.split(r"(```.*?```|`[^`\n]+`)", markdown, flags=re.DOTALL)
    return "".join(part if index % 2 else change(part) for index, part in enumerate(parts))
