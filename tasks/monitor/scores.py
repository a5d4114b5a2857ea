"""Fixed functions that turn requests, answers and corrections into binned scores, one stream of bins each, and the pool
they are ranked in.

What the functions need (vocabulary, letters, vectors, bin edges) comes from one half of the training rows; the pool is
made of all other rows, which therefore are to the functions what new requests are. Answers are ranked among the
version's own test answers.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.formats.answer import ToolAnswer, agrees, as_read, example_in, right_answer, valid
from tasks.formats.spans import GIVEN
from tasks.formats.spans import OTHER as ANOTHER
from tasks.monitor import confidence, residuals, texts
from tasks.monitor.embedding import Embed, nearest, novelty
from tasks.monitor.martingale import BINS, Floats, Ints
from tasks.monitor.reference import Reference
from tasks.monitor.residuals import Pairs
from tasks.monitor.streams import FEW, OTHER, WRONG, edges, fit_rows, streams_of
from tasks.records.database_rows import Input, Probabilities
from tasks.texts.clean import clean
from tasks.texts.template import columns


class Scores:
    """The score functions of one version; `embed` makes vectors of texts."""

    def __init__(self, reference: Reference, embed: Embed) -> None:
        """Fit on one half of the training rows of `reference`."""
        self.reference, self.template, self.embed = reference, reference.template, embed
        self.form, self.labels = reference.form, reference.labels
        # Of an image the records know what it is called and not what is in it: nothing is followed of what was asked.
        self.sees = example_in(self.template) == "image"
        self.classes = {label: frozenset(map(clean, classes)) for label, classes in self.labels.items()}
        self.probability_labels = confidence.labels_of(self.labels, reference.predictions)
        self.marks = confidence.marks_of(self.form, reference.predictions)
        self.columns = columns(self.template["user"])
        self.fit = fit_rows(reference.rows)
        self.question = texts.Question(self.template["user"])
        known = self.asked([row["input"] for row in self.fit])
        self.vocabulary, self.spelling = texts.vocabulary(known), texts.Spelling(known)
        self.language = Counter(map(texts.language, known)).most_common(1)[0][0]
        self.vectors = embed(known)
        self.common = {
            label: Counter(clean(str(row["answer"].get(label))) for row in self.fit) for label in self.labels
        }
        self.edges = {name: edges(values) for name, values in self._unseen(known).items()}
        self.subjects = self._subjects()
        near, fitted = Counter(self.subjects.tolist()), len(self.fit)
        numbers = [stream for column in residuals.columns_of(self.form) for stream in residuals.streams_of(column)]
        self.streams = streams_of(self.labels, self.common, near, fitted, numbers)
        self.streams += [stream for label in self.probability_labels for stream in confidence.streams_of(label)]
        self.streams += [stream for column in self.marks for stream in confidence.streams_of_marks(column)]
        if self.sees:
            self.streams = [stream for stream in self.streams if stream.kind != "input"]
        self.names = [stream.name for stream in self.streams]

    def _unseen(self, known: list[str]) -> dict[str, list[float | None]]:
        """Scores of the half that is fitted on, each by what the others taught: they only say where the edges of
        bins lie.
        """
        halves = known[::2], known[1::2]
        values: dict[str, list[float | None]] = {"length": [len(text) for text in known], "words": [], "spelling": []}
        for half, other in (halves, halves[::-1]):
            vocabulary, spelling = texts.vocabulary(other), texts.Spelling(other)
            values["words"] += [texts.new_words(text, vocabulary) for text in half]
            values["spelling"] += [spelling.surprise(text) for text in half]
        values["novelty"] = novelty(self.vectors, self.vectors, leave_out_self=True).tolist()
        values["answer length"] = [len(self.as_logged(row["text"])) for row in self.reference.predictions]
        values |= residuals.values(self.form, [row["text"] for row in self.reference.predictions])
        values |= residuals.errors(self.form, self.test_pairs())
        return {
            **values,
            **self._sure(self.test_probabilities()),
            **self._surprise(self.test_probabilities(), self.test_pairs()),
        }

    def _subjects(self) -> NDArray[np.str_]:
        """(fitted rows,): what each is about: its class of the first label with few classes; where there is none,
        one of eight clusters.
        """
        label = next((label for label, classes in self.labels.items() if 1 < len(classes) <= FEW), None)
        if label is not None:
            return np.array([clean(str(row["answer"].get(label))) for row in self.fit])
        from sklearn.cluster import KMeans

        distinct = len(np.unique(self.vectors, axis=0))
        clusters = KMeans(min(FEW, distinct), n_init=1, random_state=0).fit_predict(self.vectors)
        return np.array([f"cluster {place}" for place in clusters])

    def pool(self) -> Ints:
        """(streams, BINS): how often each score occurs among the rows that the functions were not fitted on."""
        inputs, tests = self.held_out(), self.reference.predictions
        bins = [
            self.of_inputs(inputs, self.embed(self.asked(inputs))),
            self.of_answers([row["text"] for row in tests]),
            self.of_probabilities(self.test_probabilities()),
            self.of_labels(self.test_pairs(), self.test_probabilities()),
        ]
        counts = np.zeros((len(self.streams), BINS), int)
        for rows in bins:
            for stream, column in enumerate(rows.T):
                counts[stream] += np.bincount(column[column >= 0], minlength=BINS)
        return counts

    def held_out(self) -> list[Input]:
        """The inputs of the reference that the functions were not fitted on."""
        fitted = {row["id"] for row in self.fit}
        return [row["input"] for row in self.reference.rows if row["id"] not in fitted] or [
            row["input"] for row in self.reference.rows
        ]

    def test_pairs(self) -> list[tuple[str, dict[str, str]]]:
        """(answer, right answer by column) of the evaluation."""
        tests = self.reference.predictions
        return [(row["text"], right_answer(self.form, row)) for row in tests]

    def test_probabilities(self) -> list[Probabilities | None]:
        """The probabilities of the evaluation's answers."""
        return [row.get("probabilities") for row in self.reference.predictions]

    def asked(self, inputs: Sequence[Input]) -> list[str]:
        """The text of each request."""
        return [self.question.text(request) for request in inputs]

    def of_inputs(self, inputs: Sequence[Input], vectors: Floats) -> Ints:
        """(requests, streams) bins of what was asked, -1 in the other streams."""
        asked, bins = self.asked(inputs), self._empty(len(inputs))
        self._fill(bins, "length", [len(text) for text in asked])
        self._fill(bins, "words", [texts.new_words(text, self.vocabulary) for text in asked])
        self._fill(bins, "spelling", [self.spelling.surprise(text) for text in asked])
        self._fill(bins, "novelty", novelty(vectors, self.vectors).tolist() if inputs else [])
        about = self.subjects[nearest(vectors, self.vectors)] if inputs else self.subjects[:0]
        for name in set(self.subjects.tolist()):
            self._mark(bins, f"near {name}", (about == name).tolist())
        self._mark(bins, "language", [texts.language(text) != self.language for text in asked])
        self._mark(bins, "missing", [texts.is_incomplete(request, self.columns) for request in inputs])
        return bins

    def of_answers(self, answers: list[str]) -> Ints:
        """(answers, streams) bins of what was answered, -1 in the other streams."""
        bins, answered = self._empty(len(answers)), [self.form.read(text) for text in answers]
        self._fill(bins, "answer length", [len(self.as_logged(text)) for text in answers])
        for name, values in residuals.values(self.form, answers).items():
            self._fill(bins, name, values)
        self._mark(bins, "refusal", [texts.is_refusal(text) for text in answers])
        self._mark(bins, "invalid", [not self.is_valid(text) for text in answers])
        for label, classes in self.labels.items():
            classified = [self.class_of(answer, label) for answer in answered]
            for name in (*classes, OTHER):
                self._mark(bins, f"{label}: {name}", [value == name for value in classified])
            rank = {name: place for place, (name, _) in enumerate(self.common[label].most_common(BINS - 1))}
            self._put(bins, f"{label} rarity", [rank.get(value, BINS - 1) for value in classified])
        return bins

    def is_valid(self, text: str) -> bool:
        """Whether an answer is of the version's form, with labels of known classes: the measure `valid` of the
        evaluation.
        """
        return valid(self.form, text, self.classes) is not None

    def of_probabilities(self, probabilities: Sequence[Probabilities | None]) -> Ints:
        """(answers, streams) bins of how sure the answers are, -1 in the other streams."""
        bins = self._empty(len(probabilities))
        for name, values in self._sure(probabilities).items():
            self._fill(bins, name, values)
        return bins

    def of_labels(self, pairs: Pairs, probabilities: Sequence[Probabilities | None]) -> Ints:
        """(pairs, streams) bins of (answer, right answer by column) with their probabilities, -1 in the streams that
        are not about being right.
        """
        bins = self._empty(len(pairs))
        for label in self.labels:
            self._mark(bins, f"{label} wrong", self.wrong(pairs, label))
        self._mark(bins, WRONG, self.wrong(pairs))
        for name, values in (residuals.errors(self.form, pairs) | self._surprise(probabilities, pairs)).items():
            self._fill(bins, name, values)
        return bins

    def _sure(self, probabilities: Sequence[Probabilities | None]) -> dict[str, list[float | None]]:
        sure: dict[str, list[float | None]] = {}
        for label in self.probability_labels:
            sure[f"{label} confidence"] = [confidence.top(row, label) for row in probabilities]
            sure[f"{label} entropy"] = [confidence.entropy(row, label) for row in probabilities]
        for column in self.marks:
            sure[f"{column} confidence"] = [confidence.least(row) for row in probabilities]
        return sure

    def _surprise(self, probabilities: Sequence[Probabilities | None], pairs: Pairs) -> dict[str, list[float | None]]:
        rights = self.rights(pairs)
        return {
            f"{label} surprise": [confidence.surprise(*pair, label) for pair in zip(probabilities, rights, strict=True)]
            for label in self.probability_labels
        }

    def rights(self, pairs: Pairs) -> list[dict[str, str]]:
        """The right answers of (answer, right answer by column); of one that is given as a whole, whether it was
        given.
        """
        wrong = {name: self.wrong(pairs, name) for name in self.probability_labels if name not in self.labels}
        return [
            dict(right) | {name: ANOTHER if of[i] else GIVEN for name, of in wrong.items() if of[i] is not None}
            for i, (_, right) in enumerate(pairs)
        ]

    def wrong(self, pairs: Pairs, label: str | None = None) -> list[bool | None]:
        """Whether each (answer, right answer by column) is wrong, in its `label` or as a whole; None where the right
        answer is unknown.
        """
        compared = (label,) if label else self.form.columns
        marks: list[bool | None] = []
        for text, right in pairs:
            known = {column: right[column] for column in compared if isinstance(right.get(column), str)}
            marks.append(not agrees(self.form.read(text), as_read(self.form, known), ()) if known else None)
        return marks

    def as_logged(self, text: str) -> str:
        """An answer as the records keep it: tool calls, in whatever form a model writes them, as canonical JSON."""
        read = self.form.read(text) if isinstance(self.form, ToolAnswer) else None
        return text if read is None else next(iter(read.values()))

    def class_of(self, answer: Mapping[str, str] | None, label: str) -> str:
        """The class that an answer as read names, or `(other)`."""
        value = clean((answer or {}).get(label, ""))
        return value if value in self.labels[label] else OTHER

    def is_of_many_classes(self, name: str) -> bool:
        """True for the figure of one class (`intent=login_problem`) of a label that has too many to list."""
        return len(self.labels.get(name.partition("=")[0], ())) > FEW and "=" in name

    def _empty(self, rows: int) -> Ints:
        return np.full((rows, len(self.streams)), -1)

    def _put(self, bins: Ints, name: str, values: Sequence[float | int]) -> None:
        if name in self.names:
            bins[:, self.names.index(name)] = values

    def _mark(self, bins: Ints, name: str, values: list[bool | None]) -> None:
        self._put(bins, name, [-1 if value is None else int(value) for value in values])

    def _fill(self, bins: Ints, name: str, values: Sequence[float | None]) -> None:
        known = {value: int(np.searchsorted(self.edges[name], value, "right")) for value in values if value is not None}
        self._put(bins, name, [-1 if value is None else known[value] for value in values])
