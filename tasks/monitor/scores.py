"""Fixed functions that turn requests, answers and corrections into binned scores, one stream each, and the pool in
which scores are ranked.

The functions are fitted (vocabulary, letters, vectors, bin edges) on one half of the training rows; the pool consists
of all other rows, which are as new to the functions as requests are. Answers are ranked among the version's own test
answers.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.formats.answer import ToolAnswer, agrees, canonical_answer, example_in, read_valid, right_answer
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
        # The records have the name of an image but not its content, so requests have no streams.
        self.reads_images = example_in(self.template) == "image"
        self.classes = {label: frozenset(map(clean, classes)) for label, classes in self.labels.items()}
        self.probability_labels = confidence.labels_of(self.labels, reference.predictions)
        self.entity_columns = confidence.entity_columns(self.form, reference.predictions)
        self.columns = columns(self.template["user"])
        self.fit = fit_rows(reference.rows)
        self.question = texts.Question(self.template["user"])
        fit_texts = self.request_texts([row["input"] for row in self.fit])
        self.vocabulary, self.spelling = texts.vocabulary(fit_texts), texts.Spelling(fit_texts)
        self.language = Counter(map(texts.language, fit_texts)).most_common(1)[0][0]
        self.vectors = embed(fit_texts)
        self.common = {
            label: Counter(clean(str(row["answer"].get(label))) for row in self.fit) for label in self.labels
        }
        self.edges = {name: edges(values) for name, values in self._cross_fitted(fit_texts).items()}
        self.subjects = self._subjects()
        near, fitted = Counter(self.subjects.tolist()), len(self.fit)
        numbers = [stream for column in residuals.columns_of(self.form) for stream in residuals.streams_of(column)]
        self.streams = streams_of(self.labels, self.common, near, fitted, numbers)
        self.streams += [stream for label in self.probability_labels for stream in confidence.streams_of(label)]
        self.streams += [stream for column in self.entity_columns for stream in confidence.entity_streams(column)]
        if self.reads_images:
            self.streams = [stream for stream in self.streams if stream.kind != "input"]
        self.names = [stream.name for stream in self.streams]

    def _cross_fitted(self, fit_texts: list[str]) -> dict[str, list[float | None]]:
        """Return the scores of the fitted rows, each half by functions of the other half: they only set the edges of
        bins.
        """
        halves = fit_texts[::2], fit_texts[1::2]
        lengths = [len(text) for text in fit_texts]
        values: dict[str, list[float | None]] = {"length": [*lengths], "words": [], "spelling": []}
        for half, other in (halves, halves[::-1]):
            vocabulary, spelling = texts.vocabulary(other), texts.Spelling(other)
            values["words"] += [texts.new_words(text, vocabulary) for text in half]
            values["spelling"] += [spelling.surprise(text) for text in half]
        values["novelty"] = novelty(self.vectors, self.vectors, leave_out_self=True).tolist()
        values["answer length"] = [len(self.as_logged(row["text"])) for row in self.reference.predictions]
        values |= residuals.values(self.form, [row["text"] for row in self.reference.predictions])
        values |= residuals.errors(self.form, self.test_pairs())
        values |= self._confidences(self.test_probabilities())
        return values | self._surprises(self.test_probabilities(), self.test_pairs())

    def _subjects(self) -> NDArray[np.str_]:
        """Return (fitted rows,): the subject of each row: its class of the first label with few classes, or else one
        of eight clusters.
        """
        label = next((label for label, classes in self.labels.items() if 1 < len(classes) <= FEW), None)
        if label is not None:
            return np.array([clean(str(row["answer"].get(label))) for row in self.fit])
        from sklearn.cluster import KMeans

        distinct = len(np.unique(self.vectors, axis=0))
        clusters = KMeans(min(FEW, distinct), n_init=1, random_state=0).fit_predict(self.vectors)
        return np.array([f"cluster {place}" for place in clusters])

    def pool(self) -> Ints:
        """Return (streams, BINS): how often each score occurs among the rows that the functions were not fitted on."""
        inputs, tests = self.held_out(), self.reference.predictions
        bins = [
            self.of_inputs(inputs, self.embed(self.request_texts(inputs))),
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
        """Return the inputs of the reference that the functions were not fitted on."""
        fitted = {row["id"] for row in self.fit}
        return [row["input"] for row in self.reference.rows if row["id"] not in fitted] or [
            row["input"] for row in self.reference.rows
        ]

    def test_pairs(self) -> list[tuple[str, dict[str, str]]]:
        """Return (answer, right answer by column) of the evaluation."""
        tests = self.reference.predictions
        return [(row["text"], right_answer(self.form, row)) for row in tests]

    def test_probabilities(self) -> list[Probabilities | None]:
        """Return the probabilities of the evaluation's answers."""
        return [row.get("probabilities") for row in self.reference.predictions]

    def request_texts(self, inputs: Sequence[Input]) -> list[str]:
        """Return the text of each request."""
        return [self.question.text(request) for request in inputs]

    def of_inputs(self, inputs: Sequence[Input], vectors: Floats) -> Ints:
        """Return (requests, streams): the bins of requests, -1 in the other streams."""
        request_texts, bins = self.request_texts(inputs), self._empty(len(inputs))
        self._fill(bins, "length", [len(text) for text in request_texts])
        self._fill(bins, "words", [texts.new_words(text, self.vocabulary) for text in request_texts])
        self._fill(bins, "spelling", [self.spelling.surprise(text) for text in request_texts])
        self._fill(bins, "novelty", novelty(vectors, self.vectors).tolist() if inputs else [])
        subjects = self.subjects[nearest(vectors, self.vectors)] if inputs else self.subjects[:0]
        for name in set(self.subjects.tolist()):
            self._mark(bins, f"near {name}", (subjects == name).tolist())
        self._mark(bins, "language", [texts.language(text) != self.language for text in request_texts])
        self._mark(bins, "missing", [texts.is_incomplete(request, self.columns) for request in inputs])
        return bins

    def of_answers(self, answers: list[str]) -> Ints:
        """Return (answers, streams): the bins of answers, -1 in the other streams."""
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
        """True if an answer has the version's format, with labels of known classes: the measure `read_valid` of the
        evaluation.
        """
        return read_valid(self.form, text, self.classes) is not None

    def of_probabilities(self, probabilities: Sequence[Probabilities | None]) -> Ints:
        """Return (answers, streams): the bins of how sure the answers are, -1 in the other streams."""
        bins = self._empty(len(probabilities))
        for name, values in self._confidences(probabilities).items():
            self._fill(bins, name, values)
        return bins

    def of_labels(self, pairs: Pairs, probabilities: Sequence[Probabilities | None]) -> Ints:
        """Return (pairs, streams): the bins of (answer, right answer by column) with their probabilities, -1 in the
        streams that are not about being right.
        """
        bins = self._empty(len(pairs))
        for label in self.labels:
            self._mark(bins, f"{label} wrong", self.wrong(pairs, label))
        self._mark(bins, WRONG, self.wrong(pairs))
        for name, values in (residuals.errors(self.form, pairs) | self._surprises(probabilities, pairs)).items():
            self._fill(bins, name, values)
        return bins

    def _confidences(self, probabilities: Sequence[Probabilities | None]) -> dict[str, list[float | None]]:
        values: dict[str, list[float | None]] = {}
        for label in self.probability_labels:
            values[f"{label} confidence"] = [confidence.top_probability(row, label) for row in probabilities]
            values[f"{label} entropy"] = [confidence.entropy(row, label) for row in probabilities]
        for column in self.entity_columns:
            values[f"{column} confidence"] = [confidence.least_sure(row) for row in probabilities]
        return values

    def _surprises(self, probabilities: Sequence[Probabilities | None], pairs: Pairs) -> dict[str, list[float | None]]:
        rights = self.right_answers(pairs)
        return {
            f"{label} surprise": [confidence.surprise(*pair, label) for pair in zip(probabilities, rights, strict=True)]
            for label in self.probability_labels
        }

    def right_answers(self, pairs: Pairs) -> list[dict[str, str]]:
        """Return the right answer by column of each pair; of an extracted answer, whether the given one is right."""
        wrong = {name: self.wrong(pairs, name) for name in self.probability_labels if name not in self.labels}
        return [
            dict(right)
            | {name: ANOTHER if marks[i] else GIVEN for name, marks in wrong.items() if marks[i] is not None}
            for i, (_, right) in enumerate(pairs)
        ]

    def wrong(self, pairs: Pairs, label: str | None = None) -> list[bool | None]:
        """Return whether each (answer, right answer by column) is wrong, in its `label` or as a whole; None if the
        right answer is unknown.
        """
        compared = (label,) if label else self.form.columns
        marks: list[bool | None] = []
        for text, right in pairs:
            known = {column: right[column] for column in compared if isinstance(right.get(column), str)}
            marks.append(not agrees(self.form.read(text), canonical_answer(self.form, known), ()) if known else None)
        return marks

    def as_logged(self, text: str) -> str:
        """Return an answer as the records keep it: tool calls as canonical JSON, however the model writes them."""
        read = self.form.read(text) if isinstance(self.form, ToolAnswer) else None
        return text if read is None else next(iter(read.values()))

    def class_of(self, answer: Mapping[str, str] | None, label: str) -> str:
        """Return the class that a parsed answer names, or `(other)`."""
        value = clean((answer or {}).get(label, ""))
        return value if value in self.labels[label] else OTHER

    def is_of_many_classes(self, name: str) -> bool:
        """True for the figure of one class (`intent=login_problem`) of a label with too many classes to list."""
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
