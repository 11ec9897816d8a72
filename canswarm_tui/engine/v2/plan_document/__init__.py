"""v2's plan store: v1's op log as Automerge documents. This is the format's contract.

**One document**, `.state/plan_automerge.bin`. Root keys: `schema` (int, 1); `ops`, a list of maps with v1's eight
columns by their names (text and 64-bit ints, `payload_json` verbatim), in v1's order; `tasks`, a map by task id of
maps `task_id`, `thread_id`, `task_type` (text or null), `state`, `last_lamport`; `edges`, a map by parent of a map by
child of true. One change a run holds the ops and the views together.

**Partitioned**, `.state/plan_automerge/`: a fixed number of such documents `0000.bin`, `0001.bin`, …, and `index.json`.
An op lies in document `int(SHA-256(thread_id)[:8], big-endian) mod partitions` and has a ninth key `seq`, its place in
v1's order over all documents. Tasks and edges are projected across documents; an entry lies in the document of the
thread whose op made it first, so the union over documents is v1's table and no entry is there twice. The index holds
`schema`, `partitions`, `actor` (hex) and for each document its `name`, `ops`, `tasks`, `edges`, `heads`, `size`,
`sha256` and `content` (the digest of what was put in), as the migration last wrote it.

The actor id is fixed for a site, so the same runs give the same bytes. What another actor appends later is no op of v1:
readers order v1's ops by their place, then all others by lamport, then op_id, and take each op_id once. A v2 store
projects its views from the ops and writes nothing back after a merge.
"""
