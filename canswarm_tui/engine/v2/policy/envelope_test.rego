package swarm.envelope_test

import data.swarm.envelope

v1 := {"allowed_kinds": ["COMMIT", "NEED"], "max_payload_bytes": 65536}

facts := {
	"signature_valid": true,
	"payload_hash_valid": true,
	"lamport_positive": true,
	"policy_hash_current": true,
	"payload_size_bytes": 100,
	"artifact_named": false,
	"artifact_present": false,
}

need := {"envelope": {"kind": "NEED", "lamport": 1, "payload": {}}, "facts": facts}

commit := {
	"envelope": {"kind": "COMMIT", "lamport": 1, "payload": {"artifact_hash": "ab"}},
	"facts": object.union(facts, {"artifact_named": true, "artifact_present": true}),
}

with_fact(base, name, value) := object.union(base, {"facts": {name: value}})

without_fact(base, name) := json.remove(base, [sprintf("/facts/%s", [name])])

with_field(base, name, value) := object.union(base, {"envelope": {name: value}})

test_a_good_envelope_is_allowed if {
	envelope.allow with input as need with data.swarm.policy as v1
	envelope.allow with input as commit with data.swarm.policy as v1
	envelope.decision == {"allow": true, "reasons": []} with input as need with data.swarm.policy as v1
}

test_a_missing_or_mistyped_fact_is_denied if {
	every name, _ in facts {
		not envelope.allow with input as without_fact(need, name) with data.swarm.policy as v1
		every odd in [null, "true", [], {}, 0.5] {
			not envelope.allow with input as with_fact(need, name, odd) with data.swarm.policy as v1
		}
	}
}

test_a_missing_field_is_denied if {
	every name in ["kind", "lamport", "payload"] {
		path := sprintf("/envelope/%s", [name])
		not envelope.allow with input as json.remove(need, [path]) with data.swarm.policy as v1
		not envelope.allow with input as json.remove(commit, [path]) with data.swarm.policy as v1
	}
}

test_no_input_and_odd_inputs_are_denied_for_every_reason_that_can_apply if {
	every odd in [null, true, 1, "x", [], {}] {
		not envelope.allow with input as odd with data.swarm.policy as v1
		count(envelope.reasons) == 7 with input as odd with data.swarm.policy as v1
	}
}

test_missing_data_is_denied if {
	envelope.decision.reasons == ["kind_not_allowed", "payload_too_large"] with input as need
		with data.swarm.policy as {}
}

test_kind if {
	envelope.decision.reasons == ["kind_not_allowed"] with input as with_field(need, "kind", "GOSSIP")
		with data.swarm.policy as v1
}

test_size_limit if {
	envelope.allow with input as with_fact(need, "payload_size_bytes", 65536) with data.swarm.policy as v1
	envelope.decision.reasons == ["payload_too_large"] with input as with_fact(need, "payload_size_bytes", 65537)
		with data.swarm.policy as v1
	envelope.decision.reasons == ["payload_too_large"] with input as with_fact(need, "payload_size_bytes", -1)
		with data.swarm.policy as v1
}

test_lamport if {
	every odd in [0, -1, "1", true, null, []] {
		envelope.decision.reasons == ["lamport_not_positive"] with input as with_field(need, "lamport", odd)
			with data.swarm.policy as v1
	}
}

test_commit_needs_an_artifact_that_is_there if {
	bare := with_field(need, "kind", "COMMIT")
	envelope.decision.reasons == ["commit_without_artifact"] with input as bare with data.swarm.policy as v1
	lost := with_fact(commit, "artifact_present", false)
	envelope.decision.reasons == ["artifact_not_found"] with input as lost with data.swarm.policy as v1
}

test_fact_and_envelope_must_agree_on_the_artifact if {
	hidden := with_fact(commit, "artifact_named", false)
	envelope.decision.reasons == ["artifact_not_found", "commit_without_artifact"] with input as hidden
		with data.swarm.policy as v1
}

test_a_batch_is_decided_one_by_one_in_order if {
	answers := envelope.decisions with input as {"batch": [need, {}, commit]} with data.swarm.policy as v1
	[answer.allow | some answer in answers] == [true, false, true]
}

test_each_rule_denies_alone if {
	every name in ["signature_valid", "payload_hash_valid", "policy_hash_current"] {
		not envelope.allow with input as with_fact(need, name, false) with data.swarm.policy as v1
	}
}
