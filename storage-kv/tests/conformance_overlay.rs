//! The conformance suite on the core over an overlay, as engines with one writer have it.

mod sim;

storage_conformance::main!(sim::SimHarness {
    name: "sim-overlay",
    has_overlay: true,
});
