"""Seeds that found an error once, each with what it found. They run in every `make test`.

A seed is a schedule for one state of the simulator: with a change of what is drawn in `simulate`, `faults` or
`operators` it becomes another one. So an error that a seed found has a test of its own as well, where it can have one
(tests/unit, tests/integration), and often a plot in `faults` that leads there; here stand the seeds of today.
"""

KEPT = {
    1: "the very process that held an ended epoch came back after a restart of the cloud, and freed its own hold",
    9: "a cloud restored from a copy gave an account that the copy did not know the sequence 1 again",
    178: "the same, for the account of a receiver's own events",
    517: "a process lost while moves were paused; its alarm comes twice, through the next that may work",
    106: "an epoch was released while its last message was on the way, and came after that of the next epoch",
    125: "the states told to a receiver that had left were numbered anew: it took them for old, and nobody worked",
    1548: "a receiver that was yielding took a role: what it had given back unseen was left out (A3)",
    2679: "a copy that knew a shorter lease than the last one was restored, and waited for too short a time",
    2713: "the release of a process on a copied folder freed what the first one still held",
    274: "a pause that was made after the copy from which the cloud was restored",
    1687: "the same, with a switchover under way",
    10928: "a refusal went up in a dead pull, and only confirmations without an answer had it opened anew (A5)",
    17544: "a refusal whose answer was lost was told again, and set aside what an operator had put back (A5)",
    10117: "the checker did not know that one which worked alone was removed while moves were paused",
}
