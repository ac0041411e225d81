"""Pure functions from a record and a subject to findings. No I/O, no torch, no nnU-Net.

One rule is one module: ``nng101_unseen_flip.py`` is NNG101 unseen-flip, and its docstring is the rule's page. The
folder is the catalogue (``findings.RULES``). ``precedence`` says which rule speaks of which flip. ``checks`` runs them.

How much a verdict on mirroring (NNG101-106, 108, 109, 112-116) may do depends on how it is known:

- *observed* (the live pipeline) and *measured* (the trained network) are settled: they can be harmful,
  and ``correct`` acts on them.
- *declared* is its owner's word: the same rules, but never more than advisory, and nothing is corrected.
- *pending* and *unknown* are no verdict: never a mismatch; at prediction both are NNG108.

An *estimate* (too few draws to settle it) is never more than advisory either, and takes no axis away.
"""
