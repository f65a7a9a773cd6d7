"Values that a file should not have, put into every place of it."
import json

ODD = [None, True, 0, -1, 1.5, float("nan"), float("-inf"), 1e308, 10**400, "", "x", "\0", "\ud800", [], [[]], [1, [2]], {}, {"a": {}}]


def with_value_at(data, spots, value):
    "Copies of the contents of a JSON file, each with the value at one of the spots, which are tuples of keys."
    for *above, last in spots:
        copy = json.loads(json.dumps(data))
        at = copy
        for key in above: at = at[key]
        at[last] = value
        yield copy
