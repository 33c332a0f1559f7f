"""A second, plain version of pretraining data: the tests' witness.

It follows the original's steps one by one, without regard to speed, and draws
its random numbers in the same order. So bert_tf.data.pretraining must make
exactly the same instances and examples.
"""

import collections

import tensorflow as tf

from bert_tf.data.pretraining import instances as pretraining_instances

Instance = collections.namedtuple(
    "Instance", "tokens segment_ids is_random_next positions labels"
)


def plain_instances(paths, tokenizer, settings, rng) -> list:
    """The instances of text files, like `create_training_instances`."""
    documents = [[]]
    for line in pretraining_instances.lines_of(paths):
        line = line.strip()
        if not line:
            documents.append([])
        tokens = tokenizer.tokenize(line)
        if tokens:
            documents[-1].append(tokens)
    documents = [document for document in documents if document]
    rng.shuffle(documents)
    words = list(tokenizer.vocab)
    instances = []
    for _ in range(settings.dupe_factor):
        for index in range(len(documents)):
            instances += instances_of_document(
                documents, index, words, settings, rng
            )
    rng.shuffle(instances)
    return instances


def instances_of_document(documents, index, words, settings, rng):
    """The instances of a document, with sentences of others as random next."""
    document = documents[index]
    most = settings.max_seq_length - 3
    target = most
    if rng.random() < settings.short_seq_prob:
        target = rng.randint(2, most)
    instances, chunk, i = [], [], 0
    while i < len(document):
        chunk.append(document[i])
        if i == len(document) - 1 or sum(map(len, chunk)) >= target:
            end = rng.randint(1, len(chunk) - 1) if len(chunk) > 1 else 1
            a = sum(chunk[:end], [])
            is_random_next = len(chunk) == 1 or rng.random() < 0.5
            if is_random_next:
                b = []
                for _ in range(10):
                    other = rng.randint(0, len(documents) - 1)
                    if other != index:
                        break
                start = rng.randint(0, len(documents[other]) - 1)
                for segment in documents[other][start:]:
                    b = b + segment
                    if len(b) >= target - len(a):
                        break
                i -= len(chunk) - end
            else:
                b = sum(chunk[end:], [])
            while len(a) + len(b) > most:
                longer = a if len(a) > len(b) else b
                if rng.random() < 0.5:
                    del longer[0]
                else:
                    longer.pop()
            instances.append(
                masked_instance(a, b, is_random_next, words, settings, rng)
            )
            chunk = []
        i += 1
    return instances


def masked_instance(a, b, is_random_next, words, settings, rng):
    """[CLS] A [SEP] B [SEP], with some tokens masked."""
    tokens = ["[CLS]", *a, "[SEP]", *b, "[SEP]"]
    segment_ids = [0] * (len(a) + 2) + [1] * (len(b) + 1)
    candidates = []
    for position, token in enumerate(tokens):
        if token in ("[CLS]", "[SEP]"):
            continue
        joins = settings.do_whole_word_mask and token.startswith("##")
        if joins and candidates:
            candidates[-1].append(position)
        else:
            candidates.append([position])
    rng.shuffle(candidates)
    share = int(round(len(tokens) * settings.masked_lm_prob))
    limit = min(settings.max_predictions_per_seq, max(1, share))
    masked, found = list(tokens), []
    for word in candidates:
        if len(found) >= limit:
            break
        if len(found) + len(word) > limit:
            continue
        for position in word:
            if rng.random() < 0.8:
                masked[position] = "[MASK]"
            elif rng.random() >= 0.5:
                masked[position] = words[rng.randint(0, len(words) - 1)]
            found.append((position, tokens[position]))
    found.sort()
    positions, labels = [p for p, _ in found], [t for _, t in found]
    return Instance(masked, segment_ids, is_random_next, positions, labels)


def plain_example(instance, tokenizer, settings):
    """The tf.train.Example of an instance."""

    def padded(values, length):
        return list(values) + [0] * (length - len(values))

    def integers(values):
        values = tf.train.Int64List(value=values)
        return tf.train.Feature(int64_list=values)

    length, most = settings.max_seq_length, settings.max_predictions_per_seq
    ids = tokenizer.convert_tokens_to_ids(instance.tokens)
    labels = tokenizer.convert_tokens_to_ids(instance.labels)
    weights = padded([1.0] * len(labels), most)
    features = {
        "input_ids": integers(padded(ids, length)),
        "input_mask": integers(padded([1] * len(ids), length)),
        "segment_ids": integers(padded(instance.segment_ids, length)),
        "masked_lm_positions": integers(padded(instance.positions, most)),
        "masked_lm_ids": integers(padded(labels, most)),
        "masked_lm_weights": tf.train.Feature(
            float_list=tf.train.FloatList(value=weights)
        ),
        "next_sentence_labels": integers([int(instance.is_random_next)]),
    }
    return tf.train.Example(features=tf.train.Features(feature=features))
