//! Capabilities: claimed ones work, others are refused cleanly.

use storage_api::{Capability, Descriptor};

use crate::case::{Case, cases};
use crate::change::{CHANGES, LOOKS, Stage};
use crate::env::{Env, at};

pub(super) const CASES: &[Case] = cases![capability:
    a_backend_has_what_its_driver_claims ["DUR-1", "CONC-2"],
    a_backend_says_which_driver_it_is ["ERR-1"] .since(2),
    a_backend_is_the_same_from_opening_to_opening ["DUR-1"] .requires(Capability::Reopen),
    a_place_that_is_not_reopened_is_empty ["DUR-1"] .excludes(Capability::Reopen),
    a_sound_place_verifies_after_every_operation ["PART-7", "DUR-2"] .requires(Capability::Verify),
    a_place_verifies_after_reopening ["DUR-2"] .requires(Capability::Verify) .requires_also(Capability::Reopen),
    verify_is_absent_where_it_is_not_claimed ["ERR-1"] .excludes(Capability::Verify),
    a_backend_at_work_is_healthy ["ERR-1"],
    looks_change_nothing ["LIST-1", "LIST-2", "ATOM-1"],
];

fn capabilities(descriptor: &Descriptor) -> Vec<Capability> {
    descriptor.capabilities.iter().collect()
}

async fn a_backend_has_what_its_driver_claims(env: Env) {
    let descriptor = env.backend().await.descriptor();

    let claimed: Vec<_> = env.claims().capabilities().iter().collect();
    assert_eq!(
        capabilities(&descriptor),
        claimed,
        "what the descriptor says (left) and what the harness claims (right)"
    );
    assert!(!descriptor.driver.is_empty(), "{descriptor:?}");
    assert!(!descriptor.version.is_empty(), "{descriptor:?}");
}

async fn a_backend_says_which_driver_it_is(env: Env) {
    let known = env.harness().driver();

    let descriptor = env.backend().await.descriptor();

    // A harness may run one driver in several ways: «mine» and «mine-small».
    let name = known.name();
    let variant = name.strip_prefix(descriptor.driver.as_ref());
    assert!(
        variant.is_some_and(|rest| rest.is_empty() || rest.starts_with('-')),
        "the backend calls its driver {:?}, the harness {name:?}",
        descriptor.driver
    );
    assert_eq!(descriptor.version, known.version(), "the driver's version");
}

async fn a_backend_is_the_same_from_opening_to_opening(env: Env) {
    let before = env.backend().await.descriptor();

    let after = env.reopen().await.descriptor();

    assert_eq!(after, before);
}

async fn a_place_that_is_not_reopened_is_empty(env: Env) {
    Stage::set(&env).await;

    env.reopen().await;

    assert_eq!(env.partitions().await, []);
    assert_eq!(env.namespaces_paged(10).await, []);
}

/// The store is sound, as far as it says.
async fn assert_sound(env: &Env, after: &str) {
    let backend = env.backend().await;
    let verify = backend.verify().expect("the driver claims to verify");
    let findings = verify.verify().await;
    let findings = findings.unwrap_or_else(|error| panic!("after {after}: {error}"));
    assert!(findings.is_empty(), "after {after}: {findings:?}");
}

async fn a_sound_place_verifies_after_every_operation(env: Env) {
    for change in CHANGES {
        let env = env.elsewhere().await;
        let stage = Stage::set(&env).await;
        assert_sound(&env, "setting the stage").await;

        let done = (change.on)(env.backend().await, stage).await;

        done.unwrap_or_else(|error| panic!("{}: {error}", change.name));
        assert_sound(&env, change.name).await;
        env.finish().await;
    }
}

async fn a_place_verifies_after_reopening(env: Env) {
    let stage = Stage::set(&env).await;
    stage.part.maintain(at(2000)).await;

    env.reopen().await;

    let before = env.snapshot().await;
    assert_sound(&env, "reopening").await;
    assert_eq!(env.snapshot().await, before, "verify changes nothing");
}

async fn verify_is_absent_where_it_is_not_claimed(env: Env) {
    let backend = env.backend().await;

    assert!(backend.verify().is_none());
}

async fn a_backend_at_work_is_healthy(env: Env) {
    Stage::set(&env).await;
    let before = env.snapshot().await;

    let health = env.backend().await.health().await;

    let health = health.expect("a backend that is open says how it is");
    assert!(health.is_writable, "{health:?}");
    assert_eq!(env.snapshot().await, before);
}

async fn looks_change_nothing(env: Env) {
    let stage = Stage::set(&env).await;
    let before = env.snapshot().await;

    for look in LOOKS {
        let looked = (look.on)(env.backend().await, stage.clone()).await;

        looked.unwrap_or_else(|error| panic!("{}: {error}", look.name));
        assert_eq!(env.snapshot().await, before, "{}", look.name);
    }
}
