"""Figures over plain lists of exact numbers. Nothing over nothing is None."""
from fractions import Fraction


def nearest_rank(ordered, percent):
    """The smallest value that at least `percent` of the values do not exceed."""
    return ordered[-(-percent * len(ordered) // 100) - 1]


def distribution(values):
    if not values:
        return None
    v = sorted(values)
    out = dict(count=len(v), meanMs=float(sum(v) / len(v)), sumMs=float(sum(v)), minMs=float(v[0]), maxMs=float(v[-1]))
    out.update({f"p{p}Ms": float(nearest_rank(v, p)) for p in (50, 90, 95, 99)})
    return out


def sizes(values):
    if not values:
        return None
    v = sorted(values)
    return dict(count=len(v), meanBytes=float(Fraction(sum(v), len(v))), sumBytes=sum(v), maxBytes=v[-1],
                p50Bytes=float(nearest_rank(v, 50)), p95Bytes=float(nearest_rank(v, 95)))


def gauge(values):
    if not values:
        return None
    v = sorted(values)
    return dict(mean=float(Fraction(sum(v)) / len(v)), p95=float(nearest_rank(v, 95)), max=float(v[-1]))


def root(square):
    """Square root of a fraction to 30 digits."""
    scale = 10 ** 60
    from math import isqrt
    return Fraction(isqrt(square.numerator * scale // square.denominator), 10 ** 30)


def line(points):
    """(Pearson's r, slope) of exact points; None with fewer than 3 or where x or y does not vary."""
    n = len(points)
    if n < 3:
        return None, None
    sx, sy = sum(x for x, _ in points), sum(y for _, y in points)
    xx = sum(x * x for x, _ in points) - sx * sx / Fraction(n)
    yy = sum(y * y for _, y in points) - sy * sy / Fraction(n)
    xy = sum(x * y for x, y in points) - sx * sy / Fraction(n)
    if xx == 0 or yy == 0:
        return None, None
    return float(xy / root(xx * yy)), float(xy / xx)
