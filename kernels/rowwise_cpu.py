"""The row-wise step on the CPU: skip-gram and CBOW windows against a few (output row, label) pairs each.

Per window, with inputs x_c (c < C: the context rows, or their one mean), outputs o_k (k < K) and signs s_k = ±1:

    z_ck = x_c · o_k        loss = Σ_ck log(1 + exp(−s_k z_ck))        g_ck = lr · s_k · σ(−s_k z_ck)
    x_c += Σ_k g_ck o_k     o_k += Σ_c g_ck x_c

All logits and both sums read the rows as they were before the window: it is one small matrix product there and two
back (Ji et al. 2016, Parallelizing Word2Vec in Shared and Distributed Memory), done in registers: tiles of 2 inputs
× 6 outputs for the logits, and for the updates one vector's width of 6 output rows against all the inputs.

word2vec.c goes through the contexts one by one, and each meets the output rows as the one before left them. Under
hierarchical softmax that matters: the contexts of a window share the whole path, and pushing it C times from where it
stood overshoots. ``in_turn`` brings the order back without giving up the matrix product: the logit of context c
against a row that earlier contexts e have moved is z_ck + Σ_e g_ek (x_e · x_c), and the moved rows push x_c by
Σ_e (Σ_k g_ck g_ek) x_e more, so the products of the contexts and of the steps among themselves are all it takes. Two
contexts go at a time, which costs nothing in quality and halves the waiting.

Threads run chunks of the corpus side by side and race on the rows (Hogwild: Recht et al. 2011).
Rows are padded with zeros to a multiple of 16 floats (``simd.ROW_MULTIPLE``), which stay zero.
"""

from collections import namedtuple

import numpy as np

from .hot_rows_cpu import is_private, placed, row_address
from .jit import kernel
from .simd import (
    LANES,
    VECTOR_BYTES,
    add,
    broadcast,
    div,
    exp_minus_abs,
    fma,
    load,
    mul,
    prefetch,
    select_negative,
    splat,
    store,
    store_sums2x2,
    store_sums4,
    sub,
    total,
    zero,
)
from .stream_cpu import SENTENCE_END, cut_chunk, next_word
from .targets_cpu import list_targets

_FLOAT = 4
_LINE = 64

Scratch = namedtuple("Scratch", "steps signs products vectors")
Scratch.__doc__ = """One thread's room to compute in, float32, made by ``scratch_for`` and held by the caller: the
kernels use its addresses, and numba frees an array of its own after the last use of its *name*."""


def scratch_for(window: int, capacity: int, width: int) -> Scratch:
    """Room for windows of this width on either side, ``capacity`` targets a word, and rows of ``width`` floats."""
    inputs, outputs = _most_inputs(window), _most_outputs(capacity)
    return Scratch(
        steps=np.zeros(inputs * (outputs + LANES), np.float32),
        signs=np.zeros(inputs * (outputs + LANES), np.float32),
        products=np.zeros(inputs * inputs, np.float32),
        vectors=np.zeros((inputs + outputs) * LANES + 2 * width, np.float32),
    )


@kernel
def _most_inputs(window):
    """Inputs of a window, with room to pad."""
    return 2 * window + 4


@kernel
def _most_outputs(capacity):
    """Targets of a window, with room to pad."""
    return capacity + 4


@kernel
def logits(inputs, n_inputs, outputs, n_outputs, row_bytes, z, stride):
    """z[c·stride + k] = x_c · o_k. inputs, outputs: row addresses; both numbers are padded to even."""
    for c in range(0, n_inputs, 2):
        x0, x1 = inputs[c], inputs[c + 1]
        z0 = z + _FLOAT * c * stride
        z1 = z0 + _FLOAT * stride
        k = 0
        while k + 6 <= n_outputs:
            o0, o1, o2 = outputs[k], outputs[k + 1], outputs[k + 2]
            o3, o4, o5 = outputs[k + 3], outputs[k + 4], outputs[k + 5]
            a0 = a1 = a2 = a3 = a4 = a5 = b0 = b1 = b2 = b3 = b4 = b5 = zero()
            for offset in range(0, row_bytes, VECTOR_BYTES):
                u, v = load(x0 + offset), load(x1 + offset)
                o = load(o0 + offset)
                a0, b0 = fma(u, o, a0), fma(v, o, b0)
                o = load(o1 + offset)
                a1, b1 = fma(u, o, a1), fma(v, o, b1)
                o = load(o2 + offset)
                a2, b2 = fma(u, o, a2), fma(v, o, b2)
                o = load(o3 + offset)
                a3, b3 = fma(u, o, a3), fma(v, o, b3)
                o = load(o4 + offset)
                a4, b4 = fma(u, o, a4), fma(v, o, b4)
                o = load(o5 + offset)
                a5, b5 = fma(u, o, a5), fma(v, o, b5)
            at = _FLOAT * k
            store_sums4(z0 + at, a0, a1, a2, a3)
            store_sums4(z1 + at, b0, b1, b2, b3)
            store_sums2x2(z0 + at + 16, z1 + at + 16, a4, a5, b4, b5)
            k += 6
        while k < n_outputs:
            o0, o1 = outputs[k], outputs[k + 1]
            a0 = a1 = b0 = b1 = zero()
            for offset in range(0, row_bytes, VECTOR_BYTES):
                u, v = load(x0 + offset), load(x1 + offset)
                o = load(o0 + offset)
                a0, b0 = fma(u, o, a0), fma(v, o, b0)
                o = load(o1 + offset)
                a1, b1 = fma(u, o, a1), fma(v, o, b1)
            store_sums2x2(z0 + _FLOAT * k, z1 + _FLOAT * k, a0, a1, b0, b1)
            k += 2


@kernel
def products_with_earlier(inputs, n_inputs, row_bytes, products, side):
    """products[c·side + e] = x_c · x_e for every e in a pair of inputs before c's own; n_inputs is padded to even."""
    for c in range(2, n_inputs, 2):
        x0, x1 = inputs[c], inputs[c + 1]
        for e in range(0, c, 2):
            y0, y1 = inputs[e], inputs[e + 1]
            a0 = a1 = b0 = b1 = zero()
            for offset in range(0, row_bytes, VECTOR_BYTES):
                u, v = load(x0 + offset), load(x1 + offset)
                y = load(y0 + offset)
                a0, b0 = fma(u, y, a0), fma(v, y, b0)
                y = load(y1 + offset)
                a1, b1 = fma(u, y, a1), fma(v, y, b1)
            at = products + _FLOAT * (c * side + e)
            store_sums2x2(at, at + _FLOAT * side, a0, a1, b0, b1)


@kernel
def logits_of_one(x, outputs, n_outputs, row_bytes, z):
    """z[k] = x · o_k for one input row. outputs: row addresses, padded to a multiple of 4."""
    for k in range(0, n_outputs, 4):
        o0, o1, o2, o3 = outputs[k], outputs[k + 1], outputs[k + 2], outputs[k + 3]
        s0 = s1 = s2 = s3 = zero()
        for offset in range(0, row_bytes, VECTOR_BYTES):
            u = load(x + offset)
            s0, s1 = fma(u, load(o0 + offset), s0), fma(u, load(o1 + offset), s1)
            s2, s3 = fma(u, load(o2 + offset), s2), fma(u, load(o3 + offset), s3)
        store_sums4(z + _FLOAT * k, s0, s1, s2, s3)


@kernel
def logistic(s, z):
    """(s · σ(−s z), s² log(1 + exp(−s z))) on vectors: the step before the learning rate, and the loss in nats.

    A sign s of 0 (padding) makes both 0.
    """
    one, two = splat(np.float32(1.0)), splat(np.float32(2.0))
    y = mul(s, z)
    t = exp_minus_abs(y)
    # σ(−y) is t/(1+t) for y ≥ 0 and 1/(1+t) below.
    step = mul(s, div(select_negative(y, one, t), add(one, t)))
    # log(1+t) = 2 artanh(t/(2+t)), whose argument is at most 1/3: six terms reach float32's precision.
    r = div(t, add(two, t))
    q = mul(r, r)
    series = fma(q, splat(np.float32(1 / 11)), splat(np.float32(1 / 9)))
    series = fma(q, series, splat(np.float32(1 / 7)))
    series = fma(q, series, splat(np.float32(1 / 5)))
    series = fma(q, series, splat(np.float32(1 / 3)))
    series = fma(q, series, one)
    loss = sub(mul(mul(two, r), series), select_negative(y, y, zero()))
    return step, mul(mul(s, s), loss)


@kernel
def binary_logistic(z, signs, count, learning_rate):
    """Turn logits into steps: z ← lr · s · σ(−s z); return the summed loss Σ log(1 + exp(−s z)), float64 nats.

    z, signs: addresses of ``count`` floats, padded to whole vectors with signs of 0 and any finite logits.
    """
    rate = splat(np.float32(learning_rate))
    loss = zero()
    for offset in range(0, count * _FLOAT, VECTOR_BYTES):
        step, gained = logistic(load(signs + offset), load(z + offset))
        store(z + offset, mul(rate, step))
        loss = add(loss, gained)
    return np.float64(total(loss))


@kernel
def binary_logistic_in_turn(z, stride, signs, n_inputs, products, side, learning_rate):
    """``binary_logistic`` where every pair of inputs meets the outputs as the earlier pairs leave them.

    z: address of logits [c·stride + k] against the outputs before the window, turned into steps; signs: one per
    output, stride of them; products: x_c · x_e at [c·side + e], by which step g_ek moves logit z_ck: o_k has
    moved by g_ek x_e. n_inputs may be odd; rows of z are whole vectors, for an even number of inputs.
    """
    rate = splat(np.float32(learning_rate))
    loss = zero()
    for c in range(0, n_inputs, 2):
        p0 = products + _FLOAT * c * side
        p1 = p0 + _FLOAT * side
        for k in range(0, stride, LANES):
            at = z + _FLOAT * (c * stride + k)
            z0, z1 = load(at), load(at + _FLOAT * stride)
            for e in range(c):
                g = load(z + _FLOAT * (e * stride + k))
                z0, z1 = fma(broadcast(p0 + _FLOAT * e), g, z0), fma(broadcast(p1 + _FLOAT * e), g, z1)
            s = load(signs + _FLOAT * k)
            step, gained = logistic(s, z0)
            store(at, mul(rate, step))
            loss = add(loss, gained)
            step, gained = logistic(s if c + 1 < n_inputs else zero(), z1)
            store(at + _FLOAT * stride, mul(rate, step))
            loss = add(loss, gained)
    return np.float64(total(loss))


@kernel
def products_of_steps(steps, stride, n_inputs, products, side):
    """products[c·side + e] = Σ_k g_ck g_ek for every e in a pair before c's own; n_inputs: padded to even."""
    for c in range(2, n_inputs, 2):
        g0 = steps + _FLOAT * c * stride
        for e in range(0, c, 2):
            h0 = steps + _FLOAT * e * stride
            a0 = a1 = b0 = b1 = zero()
            for k in range(0, stride * _FLOAT, VECTOR_BYTES):
                u, v = load(g0 + k), load(g0 + _FLOAT * stride + k)
                x, y = load(h0 + k), load(h0 + _FLOAT * stride + k)
                a0, a1, b0, b1 = fma(u, x, a0), fma(u, y, a1), fma(v, x, b0), fma(v, y, b1)
            at = products + _FLOAT * (c * side + e)
            store_sums2x2(at, at + _FLOAT * side, a0, a1, b0, b1)


@kernel
def update(
    inputs, n_inputs, outputs, n_outputs, steps, stride, row_bytes, d_inputs, d_outputs, in_turn, products, side
):
    """x_c += Σ_k g_ck o_k and o_k += Σ_c g_ck x_c, from the rows as they are before the call.

    inputs, outputs: row addresses, n_outputs padded to even; steps: address of g, g_ck at [c·stride + k] (padding
    has steps of zero, so its row is rewritten as it is). d_inputs, d_outputs: addresses of scratch for one vector per
    row. A row that stands twice gets both updates. in_turn: an input meets the outputs as the pairs e before its own
    have left them, o_k + g_ek x_e, and so moves by (Σ_k g_ck g_ek) x_e more: products, from ``products_of_steps``.
    """
    for offset in range(0, row_bytes, VECTOR_BYTES):
        if n_outputs == 6 and not in_turn:
            # One group holds all the outputs (five noise words): their sums go straight from registers to rows.
            o0, o1, o2 = load(outputs[0] + offset), load(outputs[1] + offset), load(outputs[2] + offset)
            o3, o4, o5 = load(outputs[3] + offset), load(outputs[4] + offset), load(outputs[5] + offset)
            a0 = a1 = a2 = a3 = a4 = a5 = zero()
            for c in range(n_inputs):
                g = steps + _FLOAT * c * stride
                x = load(inputs[c] + offset)
                g0, g1, g2 = broadcast(g), broadcast(g + 4), broadcast(g + 8)
                g3, g4, g5 = broadcast(g + 12), broadcast(g + 16), broadcast(g + 20)
                a0, a1, a2 = fma(g0, x, a0), fma(g1, x, a1), fma(g2, x, a2)
                a3, a4, a5 = fma(g3, x, a3), fma(g4, x, a4), fma(g5, x, a5)
                # Two chains of three: the sum's latency, not its throughput, would bound one of six.
                d = fma(g2, o2, fma(g1, o1, mul(g0, o0)))
                e = fma(g5, o5, fma(g4, o4, mul(g3, o3)))
                store(d_inputs + c * VECTOR_BYTES, add(d, e))
            add_at(outputs[0] + offset, a0)
            add_at(outputs[1] + offset, a1)
            add_at(outputs[2] + offset, a2)
            add_at(outputs[3] + offset, a3)
            add_at(outputs[4] + offset, a4)
            add_at(outputs[5] + offset, a5)
        else:
            for c in range(n_inputs):
                d = zero()
                if in_turn:
                    for e in range(c & ~1):
                        d = fma(broadcast(products + _FLOAT * (c * side + e)), load(inputs[e] + offset), d)
                store(d_inputs + c * VECTOR_BYTES, d)
            k = 0
            while k + 6 <= n_outputs:
                o0, o1, o2 = (
                    load(outputs[k] + offset),
                    load(outputs[k + 1] + offset),
                    load(outputs[k + 2] + offset),
                )
                o3, o4 = load(outputs[k + 3] + offset), load(outputs[k + 4] + offset)
                o5 = load(outputs[k + 5] + offset)
                a0 = a1 = a2 = a3 = a4 = a5 = zero()
                for c in range(n_inputs):
                    g = steps + _FLOAT * (c * stride + k)
                    x, d = load(inputs[c] + offset), load(d_inputs + c * VECTOR_BYTES)
                    g0, g1, g2 = broadcast(g), broadcast(g + 4), broadcast(g + 8)
                    g3, g4, g5 = broadcast(g + 12), broadcast(g + 16), broadcast(g + 20)
                    a0, a1, a2 = fma(g0, x, a0), fma(g1, x, a1), fma(g2, x, a2)
                    a3, a4, a5 = fma(g3, x, a3), fma(g4, x, a4), fma(g5, x, a5)
                    d = fma(g2, o2, fma(g1, o1, fma(g0, o0, d)))
                    e = fma(g5, o5, fma(g4, o4, mul(g3, o3)))
                    store(d_inputs + c * VECTOR_BYTES, add(d, e))
                at = d_outputs + k * VECTOR_BYTES
                store(at, a0)
                store(at + VECTOR_BYTES, a1)
                store(at + 2 * VECTOR_BYTES, a2)
                store(at + 3 * VECTOR_BYTES, a3)
                store(at + 4 * VECTOR_BYTES, a4)
                store(at + 5 * VECTOR_BYTES, a5)
                k += 6
            while k < n_outputs:
                o0, o1 = load(outputs[k] + offset), load(outputs[k + 1] + offset)
                a0 = a1 = zero()
                for c in range(n_inputs):
                    g = steps + _FLOAT * (c * stride + k)
                    x, d = load(inputs[c] + offset), load(d_inputs + c * VECTOR_BYTES)
                    g0, g1 = broadcast(g), broadcast(g + 4)
                    a0, a1 = fma(g0, x, a0), fma(g1, x, a1)
                    store(d_inputs + c * VECTOR_BYTES, fma(g1, o1, fma(g0, o0, d)))
                at = d_outputs + k * VECTOR_BYTES
                store(at, a0)
                store(at + VECTOR_BYTES, a1)
                k += 2
            for k in range(n_outputs):
                add_at(outputs[k] + offset, load(d_outputs + k * VECTOR_BYTES))
        for c in range(n_inputs):
            add_at(inputs[c] + offset, load(d_inputs + c * VECTOR_BYTES))


@kernel
def update_of_one(x, outputs, n_outputs, steps, row_bytes, d_input):
    """o_k += g_k x, and d_input ← Σ_k g_k o_k from the rows before the call (the caller adds it where it belongs).

    x, d_input: addresses of one row each; d_input may be x itself only if the caller wants x overwritten.
    """
    for offset in range(0, row_bytes, VECTOR_BYTES):
        u = load(x + offset)
        d, e = zero(), zero()
        k = 0
        while k + 2 <= n_outputs:
            d = fma(broadcast(steps + _FLOAT * k), load(outputs[k] + offset), d)
            e = fma(broadcast(steps + _FLOAT * (k + 1)), load(outputs[k + 1] + offset), e)
            k += 2
        if k < n_outputs:
            d = fma(broadcast(steps + _FLOAT * k), load(outputs[k] + offset), d)
        store(d_input + offset, add(d, e))
        for k in range(n_outputs):
            at = outputs[k] + offset
            store(at, fma(broadcast(steps + _FLOAT * k), u, load(at)))


@kernel
def add_at(address, value):
    """Add a vector to the floats at an address."""
    store(address, add(load(address), value))


@kernel
def add_row(target, source, row_bytes):
    """target += source, one row each, by address."""
    for offset in range(0, row_bytes, VECTOR_BYTES):
        store(target + offset, add(load(target + offset), load(source + offset)))


@kernel
def prefetch_row(row, row_bytes):
    """Ask for every cache line of a row."""
    for offset in range(0, row_bytes, _LINE):
        prefetch(row + offset)


@kernel
def repeat_signs(target_signs, n_outputs, n_inputs, signs):
    """Lay out one sign per output for every input, [c·n_outputs + k]; return the number of entries.

    signs: address of float32, whole vectors behind the entries, which become zeros.
    """
    source = address_of(target_signs)
    row = n_outputs * _FLOAT
    for c in range(n_inputs):
        for offset in range(0, row, VECTOR_BYTES):
            store(signs + c * row + offset, load(source + offset))
    store(signs + n_inputs * row, zero())
    return n_inputs * n_outputs


@kernel
def address_of(array):
    """The address of an array's first byte, good for as long as somebody else holds the array (see ``Scratch``)."""
    return array.ctypes.data


@kernel
def fetch_targets(
    word, key, furthest, tables, rows, signs, x_base, o_base, row_bytes, x_place, o_place
):  # fmt: skip
    """List a word's targets (``list_targets``) and ask for their rows and for that of its furthest context.

    Called one window ahead: noise rows come from anywhere in a matrix larger than the caches. Returns their number.
    """
    count = list_targets(tables, word, key, 1, rows, signs)
    for k in range(count):
        if not is_private(rows[k], o_place):
            prefetch_row(o_base + np.int64(rows[k]) * row_bytes, row_bytes)
    if not is_private(furthest, x_place):
        prefetch_row(x_base + np.int64(furthest) * row_bytes, row_bytes)
    return count


@kernel
def step_of_one(x, outputs, n_outputs, signs, row_bytes, z, learning_rate, d_input):
    """One input against its targets: update the outputs, write d_input, return the loss.

    outputs: row addresses, room for 3 more; signs: (…,) float32, room for a vector more. Both are padded here.
    """
    for k in range(n_outputs, n_outputs + 3):
        outputs[k] = outputs[0]
    signs[n_outputs : n_outputs + LANES] = 0.0
    logits_of_one(x, outputs, n_outputs, row_bytes, z)
    loss = binary_logistic(z, address_of(signs), n_outputs, learning_rate)
    update_of_one(x, outputs, n_outputs, z, row_bytes, d_input)
    return loss


@kernel
def skipgram_chunk(
    ids, begin, end, window, shrink, keep_threshold, subsample_key, draw_key, input_vectors, output_vectors,
    hot_inputs, hot_outputs, scratch, tables, capacity, learning_rate, report, in_turn,
):  # fmt: skip
    """Train skip-gram on ids[begin:end]; add to report (float64): [loss in nats, pairs, kept words, words].

    ids (N,) int32; input_vectors, output_vectors: padded float32 rows; hot_inputs, hot_outputs: the calling
    thread's private rows (``hot_rows_cpu``); scratch: its room to compute in; tables: see ``targets_cpu``; capacity:
    most targets of a word.
    The context word's row is the input and the centre the predicted word, as in word2vec.c; the targets are shared by
    a window's contexts. in_turn: the contexts meet the output rows pair after pair, each as the earlier pairs leave
    it, in place of all at once.
    """
    row_bytes = input_vectors.shape[1] * _FLOAT
    x_base, o_base = address_of(input_vectors), address_of(output_vectors)
    x_place, o_place = placed(hot_inputs), placed(hot_outputs)
    kept, keys, lows, highs, first, last, words = cut_chunk(
        ids, begin, end, window, shrink, keep_threshold, subsample_key, draw_key
    )

    most_inputs, most_outputs = _most_inputs(window), _most_outputs(capacity)
    inputs, outputs = np.empty(most_inputs, np.int64), np.empty(most_outputs, np.int64)
    rows, next_rows = np.empty(most_outputs, np.int32), np.empty(most_outputs, np.int32)
    signs, next_signs = np.zeros(most_outputs + LANES, np.float32), np.zeros(most_outputs + LANES, np.float32)
    steps, all_signs, products = address_of(scratch.steps), address_of(scratch.signs), address_of(scratch.products)
    d_inputs = address_of(scratch.vectors)
    d_outputs = d_inputs + most_inputs * VECTOR_BYTES

    loss = 0.0
    pairs = 0
    kept_words = 0
    n_next = 0
    centre = next_word(kept, first, last)
    if centre < last:
        n_next = fetch_targets(
            kept[centre], keys[centre], kept[highs[centre] - 1], tables, next_rows, next_signs,
            x_base, o_base, row_bytes, x_place, o_place,
        )  # fmt: skip
    while centre < last:
        kept_words += 1
        low, high = lows[centre], highs[centre]
        n_outputs = n_next
        rows, next_rows = next_rows, rows
        signs, next_signs = next_signs, signs
        following = next_word(kept, centre + 1, last)
        if following < last:
            n_next = fetch_targets(
                kept[following], keys[following], kept[highs[following] - 1], tables, next_rows, next_signs,
                x_base, o_base, row_bytes, x_place, o_place,
            )  # fmt: skip
        n_inputs = 0
        for context in range(low, high):
            if context != centre:
                inputs[n_inputs] = row_address(kept[context], x_base, row_bytes, x_place, hot_inputs.touches)
                n_inputs += 1
        centre = following
        if n_inputs == 0:
            continue
        inputs[n_inputs] = inputs[0]
        even_inputs = (n_inputs + 1) & ~1
        for k in range(n_outputs):
            outputs[k] = row_address(rows[k], o_base, row_bytes, o_place, hot_outputs.touches)
        if n_outputs & 1:
            outputs[n_outputs] = outputs[0]
            signs[n_outputs] = 0.0
            n_outputs += 1
        if in_turn:
            stride = (n_outputs + LANES - 1) // LANES * LANES
            signs[n_outputs:stride] = 0.0
            logits(inputs, even_inputs, outputs, n_outputs, row_bytes, steps, stride)
            products_with_earlier(inputs, even_inputs, row_bytes, products, most_inputs)
            loss += binary_logistic_in_turn(
                steps, stride, address_of(signs), n_inputs, products, most_inputs, learning_rate
            )
            products_of_steps(steps, stride, even_inputs, products, most_inputs)
        else:
            stride = n_outputs
            logits(inputs, even_inputs, outputs, n_outputs, row_bytes, steps, stride)
            entries = repeat_signs(signs, n_outputs, n_inputs, all_signs)
            loss += binary_logistic(steps, all_signs, entries, learning_rate)
        update(
            inputs, n_inputs, outputs, n_outputs, steps, stride, row_bytes, d_inputs, d_outputs,
            in_turn, products, most_inputs,
        )  # fmt: skip
        pairs += n_inputs
    report[0] += loss
    report[1] += pairs
    report[2] += kept_words
    report[3] += words


@kernel
def skipgram_pairs_chunk(
    ids, begin, end, window, shrink, keep_threshold, subsample_key, draw_key, input_vectors, output_vectors,
    hot_inputs, hot_outputs, scratch, tables, capacity, learning_rate, report,
):  # fmt: skip
    """``skipgram_chunk`` with targets of its own for every pair, one pair after the other: word2vec.c's meaning."""
    row_bytes = input_vectors.shape[1] * _FLOAT
    x_base, o_base = address_of(input_vectors), address_of(output_vectors)
    x_place, o_place = placed(hot_inputs), placed(hot_outputs)
    kept, keys, lows, highs, first, last, words = cut_chunk(
        ids, begin, end, window, shrink, keep_threshold, subsample_key, draw_key
    )
    outputs = np.empty(_most_outputs(capacity), np.int64)
    rows, signs = np.empty(capacity, np.int32), np.empty(capacity + LANES, np.float32)
    steps, d_input = address_of(scratch.steps), address_of(scratch.vectors)

    loss = 0.0
    pairs = 0
    kept_words = 0
    for centre in range(first, last):
        if kept[centre] == SENTENCE_END:
            continue
        kept_words += 1
        first_draw = 1
        for context in range(lows[centre], highs[centre]):
            if context == centre:
                continue
            x = row_address(kept[context], x_base, row_bytes, x_place, hot_inputs.touches)
            n_outputs = list_targets(tables, kept[centre], keys[centre], first_draw, rows, signs)
            for k in range(n_outputs):
                outputs[k] = row_address(rows[k], o_base, row_bytes, o_place, hot_outputs.touches)
            loss += step_of_one(x, outputs, n_outputs, signs, row_bytes, steps, learning_rate, d_input)
            add_row(x, d_input, row_bytes)
            first_draw += capacity
            pairs += 1
    report[0] += loss
    report[1] += pairs
    report[2] += kept_words
    report[3] += words


@kernel
def cbow_chunk(
    ids, begin, end, window, shrink, keep_threshold, subsample_key, draw_key, input_vectors, output_vectors,
    hot_inputs, hot_outputs, scratch, tables, capacity, learning_rate, report, use_sum,
):  # fmt: skip
    """Train CBOW on ids[begin:end]; add to report as ``skipgram_chunk`` does (a pair is a window here).

    The input is the mean of the context rows (their sum with use_sum); as in word2vec.c the whole gradient of the
    input goes to every context row, undivided.
    """
    row_bytes = input_vectors.shape[1] * _FLOAT
    x_base, o_base = address_of(input_vectors), address_of(output_vectors)
    x_place, o_place = placed(hot_inputs), placed(hot_outputs)
    kept, keys, lows, highs, first, last, words = cut_chunk(
        ids, begin, end, window, shrink, keep_threshold, subsample_key, draw_key
    )
    most_outputs = _most_outputs(capacity)
    inputs, outputs = np.empty(2 * window, np.int64), np.empty(most_outputs, np.int64)
    rows, next_rows = np.empty(most_outputs, np.int32), np.empty(most_outputs, np.int32)
    signs, next_signs = np.empty(most_outputs + LANES, np.float32), np.empty(most_outputs + LANES, np.float32)
    steps, mean = address_of(scratch.steps), address_of(scratch.vectors)
    d_mean = mean + row_bytes

    loss = 0.0
    pairs = 0
    kept_words = 0
    n_next = 0
    centre = next_word(kept, first, last)
    if centre < last:
        n_next = fetch_targets(
            kept[centre], keys[centre], kept[highs[centre] - 1], tables, next_rows, next_signs,
            x_base, o_base, row_bytes, x_place, o_place,
        )  # fmt: skip
    while centre < last:
        kept_words += 1
        low, high = lows[centre], highs[centre]
        n_outputs = n_next
        rows, next_rows = next_rows, rows
        signs, next_signs = next_signs, signs
        following = next_word(kept, centre + 1, last)
        if following < last:
            n_next = fetch_targets(
                kept[following], keys[following], kept[highs[following] - 1], tables, next_rows, next_signs,
                x_base, o_base, row_bytes, x_place, o_place,
            )  # fmt: skip
        n_inputs = 0
        for context in range(low, high):
            if context != centre:
                inputs[n_inputs] = row_address(kept[context], x_base, row_bytes, x_place, hot_inputs.touches)
                n_inputs += 1
        centre = following
        if n_inputs == 0:
            continue
        scale = splat(np.float32(1.0 if use_sum else 1.0 / n_inputs))
        for offset in range(0, row_bytes, VECTOR_BYTES):
            h = zero()
            for c in range(n_inputs):
                h = add(h, load(inputs[c] + offset))
            store(mean + offset, mul(h, scale))
        for k in range(n_outputs):
            outputs[k] = row_address(rows[k], o_base, row_bytes, o_place, hot_outputs.touches)
        loss += step_of_one(mean, outputs, n_outputs, signs, row_bytes, steps, learning_rate, d_mean)
        for c in range(n_inputs):
            add_row(inputs[c], d_mean, row_bytes)
        pairs += 1
    report[0] += loss
    report[1] += pairs
    report[2] += kept_words
    report[3] += words
