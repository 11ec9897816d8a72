# METADATA
# title: Which envelopes a CAN Swarm accepts
# description: |
#   The host establishes facts about an envelope; these rules decide on them. Input:
#     {"envelope": {"kind", "lamport", "payload"}, "facts": {"signature_valid", "payload_hash_valid",
#      "lamport_positive", "policy_hash_current", "payload_size_bytes", "artifact_named", "artifact_present"}}
#   The version of the policy is data: data.swarm.policy.allowed_kinds and data.swarm.policy.max_payload_bytes.
#   Every rule is positive and every denial is the absence of one, so what is missing or mistyped denies.
package swarm.envelope

default allow := false

allow if {
	signature_ok
	payload_hash_ok
	lamport_ok
	policy_hash_ok
	kind_ok
	size_ok
	commit_ok
	artifact_ok
}

decision := {"allow": allow, "reasons": sort(reasons)}

# One decision for each element of input.batch, in its order.
decisions := [answer |
	some element in input.batch
	answer := decision with input as element
]

reasons contains "signature_invalid" if not signature_ok

reasons contains "payload_hash_invalid" if not payload_hash_ok

reasons contains "lamport_not_positive" if not lamport_ok

reasons contains "policy_hash_not_current" if not policy_hash_ok

reasons contains "kind_not_allowed" if not kind_ok

reasons contains "payload_too_large" if not size_ok

reasons contains "commit_without_artifact" if not commit_ok

reasons contains "artifact_not_found" if not artifact_ok

signature_ok if input.facts.signature_valid == true

payload_hash_ok if input.facts.payload_hash_valid == true

policy_hash_ok if input.facts.policy_hash_current == true

# The fact says that it was written as an integer: Rego can't tell 1 from 1.0.
lamport_ok if {
	input.facts.lamport_positive == true
	is_number(input.envelope.lamport)
	floor(input.envelope.lamport) == input.envelope.lamport
	input.envelope.lamport > 0
}

kind_ok if {
	is_string(input.envelope.kind)
	is_array(data.swarm.policy.allowed_kinds)
	input.envelope.kind in data.swarm.policy.allowed_kinds
}

size_ok if {
	is_number(input.facts.payload_size_bytes)
	is_number(data.swarm.policy.max_payload_bytes)
	input.facts.payload_size_bytes >= 0
	floor(input.facts.payload_size_bytes) == input.facts.payload_size_bytes
	input.facts.payload_size_bytes <= data.swarm.policy.max_payload_bytes
}

# An envelope without a kind is none of these; kind_ok denies it.
is_commit if input.envelope.kind == "COMMIT"

commit_ok if not is_commit

commit_ok if artifact_named

artifact_ok if {
	artifact_named
	input.facts.artifact_present == true
}

artifact_ok if {
	artifact_unnamed
	is_boolean(input.facts.artifact_present)
}

# Fact and envelope must agree; where they don't, neither of the two holds.
artifact_named if {
	input.facts.artifact_named == true
	artifact_in_payload
}

artifact_unnamed if {
	input.facts.artifact_named == false
	payload_there
	not artifact_in_payload
}

artifact_in_payload if {
	is_object(input.envelope.payload)
	input.envelope.payload.artifact_hash != null
}

# Its value may be false or null, which would end a rule that only named it.
payload_there if {
	is_object(input.envelope)
	"payload" in object.keys(input.envelope)
}
