"""The policy of v2: one Rego, its data by version, the same Rego as WASM, and what speaks to each."""
