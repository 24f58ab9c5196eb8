"""The phases between parsing and the finished description, one module each, in this order.

`prototypes` merges what components extend, `place` moves attributes written with several names,
`function` finds the function applications, `subject` picks `sfConfig`, `link` follows references
and evaluates, `convert` freezes the result.
"""
