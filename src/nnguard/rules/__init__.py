"""Pure functions from a record and a subject to findings. No I/O, no torch, no nnU-Net.

How much a verdict on mirroring (NNG101-106, 108, 109, 112-116) may do depends on how it is known:

- *observed* (the live pipeline) and *measured* (the trained network) are settled: they can be harmful,
  and ``correct`` acts on them.
- *declared* is its owner's word: the same rules, but never more than advisory, and nothing is corrected.
- *pending* and *unknown* are no verdict: never a mismatch; at prediction both are NNG108.

An *estimate* (too few draws to settle it) is never more than advisory either, and takes no axis away.

Of one flip only one rule speaks: label-swapping (NNG106), else unseen or rare (NNG101), else unread (NNG116): shown, or
not known to be left out, and measured to lose Dice.
"""
