//! The suite on the reference model itself: the suite and the model agree.

storage_conformance::main!(storage_conformance::reference::ReferenceHarness::shared());
