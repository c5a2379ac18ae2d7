"""BERT, and one block of a decoder-only language model, in prefill and in decode.

Softmax, normalizations and activations are counted as the integer operators they lower to; only
matrix products have multiply-accumulates.
"""

from workloads.zoo.description import Builder, Description, Weight

VOCABULARY = 30522
POSITIONS = 512


def bert(name: str, sequence: int, layers: int, hidden: int, heads: int) -> Description:
    """BERT's encoder and pooler (Devlin et al., arXiv 1810.04805, section 3), uncased words.

    A feed-forward layer is 4 `hidden` wide. Positions are at most 512.
    """
    at = Builder(name)
    given = [at.input((1, sequence), which, index=True) for which in ("words", "types", "places")]
    tables = ((VOCABULARY, "words"), (2, "types"), (POSITIONS, "places"))
    words, types, places = (
        at.lookup(x, rows, hidden, role) for x, (rows, role) in zip(given, tables, strict=True)
    )
    x = _layer_norm(at, at.add(at.add(words, types), places))
    for layer in range(layers):
        at.scope = f"layer{layer}_"
        x = _layer_norm(at, at.add(_attention(at, x, heads), x))
        wide = at.pointwise("GELU", at.dense(x, 4 * hidden, rows=True))
        x = _layer_norm(at, at.add(at.dense(wide, hidden, rows=True), x))
    at.scope = "pooler_"
    first = at.row(x, 0)
    return at.done(x, at.pointwise("TANH", at.dense(first, hidden)))


def _attention(at: Builder, x: str, heads: int) -> str:
    """Softmax of the scaled products of queries and keys, times values; and a last product."""
    _, sequence, hidden = at.shape(x)
    query, key, value = (
        at.transpose(
            at.reshape(at.dense(x, hidden, rows=True), 1, sequence, heads, hidden // heads),
            *(0, 2, 1, 3),
        )
        for _ in range(3)
    )
    weights = at.softmax(at.matmul(query, key, transposed=True))
    mixed = at.transpose(at.matmul(weights, value), 0, 2, 1, 3)
    return at.dense(at.reshape(mixed, 1, sequence, hidden), hidden, rows=True)


def _layer_norm(at: Builder, x: str) -> str:
    centred = at.pointwise("SUB", x, at.mean(x, 2, keep_dims=True))
    variance = at.mean(at.pointwise("MUL", centred, centred), 2, keep_dims=True)
    unit = at.pointwise("MUL", centred, at.pointwise("RSQRT", variance))
    channels = (at.channels(x),)
    scaled = at.pointwise("MUL", unit, Weight("scale", channels))
    return at.pointwise("ADD", scaled, Weight("shift", channels))


def _rms_norm(at: Builder, x: str) -> str:
    power = at.mean(at.pointwise("MUL", x, x), 2, keep_dims=True)
    unit = at.pointwise("MUL", x, at.pointwise("RSQRT", power))
    return at.pointwise("MUL", unit, Weight("scale", (at.channels(x),)))


def decoder_block(
    name: str, sequence: int, context: int, hidden: int, heads: int, kv_heads: int, ffn: int
) -> Description:
    """A block of a language model (Touvron et al., arXiv 2302.13971, section 2.2) on new tokens.

    Root-mean-square norms, rotary positions, grouped-query attention (Ainslie et al., arXiv
    2305.13245), a gated feed-forward layer with SiLU; no biases. `context` positions come from a
    cache of keys and values, those of the `sequence` new ones are outputs. The products of a
    prefill are those of the full square: a causal mask saves none here.
    """
    at = Builder(name)
    x = at.input((1, sequence, hidden), "tokens")
    size = hidden // heads
    turns = [at.input((1, sequence, 1, size), which) for which in ("cosines", "sines")]
    at.scope = "attention_"
    before = _rms_norm(at, x)
    query, key, value = (
        at.reshape(at.dense(before, count * size, bias=False, rows=True), 1, sequence, count, size)
        for count in (heads, kv_heads, kv_heads)
    )
    key = at.transpose(_turned(at, key, turns), 0, 2, 1, 3)
    value = at.transpose(value, 0, 2, 1, 3)
    # The queries that share keys are rows of one product.
    query = at.transpose(_turned(at, query, turns), 0, 2, 1, 3)
    query = at.reshape(query, 1, kv_heads, heads // kv_heads * sequence, size)
    mixed = _cached_attention(at, query, key, value, context)
    mixed = at.transpose(at.reshape(mixed, 1, heads, sequence, size), 0, 2, 1, 3)
    mixed = at.reshape(mixed, 1, sequence, hidden)
    x = at.add(at.dense(mixed, hidden, bias=False, rows=True), x)
    at.scope = "feed_forward_"
    before = _rms_norm(at, x)
    gate, up = (at.dense(before, ffn, bias=False, rows=True) for _ in range(2))
    active = at.pointwise("MUL", gate, at.pointwise("LOGISTIC", gate))
    down = at.dense(at.pointwise("MUL", active, up), hidden, bias=False, rows=True)
    return at.done(at.add(down, x), key, value)


def _turned(at: Builder, x: str, turns: list[str]) -> str:
    """Rotary positions: x times cosines, and its halves exchanged times (signed) sines."""
    half = at.channels(x) // 2
    exchanged = at.concat([at.slice(x, half, half), at.slice(x, 0, half)])
    parts = (at.pointwise("MUL", y, z) for y, z in zip((x, exchanged), turns, strict=True))
    return at.add(*parts)


def _cached_attention(at: Builder, query: str, key: str, value: str, context: int) -> str:
    """Scores of the cache and of the new keys side by side: the cache is never copied."""
    new = at.matmul(query, key, transposed=True)
    if not context:
        return at.matmul(at.softmax(new), value)
    _, kv_heads, sequence, size = at.shape(key)
    shape = (1, kv_heads, context, size)
    cached = [at.input(shape, which) for which in ("key_cache", "value_cache")]
    old = at.matmul(query, cached[0], transposed=True)
    weights = at.softmax(at.concat([old, new]))
    left, right = at.slice(weights, 0, context), at.slice(weights, context, sequence)
    return at.add(at.matmul(left, cached[1]), at.matmul(right, value))
