//! The conformance suite on this driver.

mod driver;

storage_conformance::main!(storage_stories::suite::<driver::Rocks>(env!(
    "CARGO_PKG_VERSION"
)));
