//! The conformance suite on the core over a simulated engine.

mod sim;

storage_conformance::main!(sim::SimHarness {
    name: "sim",
    has_overlay: false,
});
