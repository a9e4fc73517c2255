//! Stories as tests of a driver.

/// A test for each of some stories of a module of this crate, told of a driver.
#[doc(hidden)]
#[macro_export]
macro_rules! told {
    ($module:ident of $driver:ty, $arguments:tt: $($(#[$attribute:meta])+ $story:ident;)+) => {
        $(
            $(#[$attribute])+
            async fn $story() {
                $crate::$module::$story::<$driver> $arguments .await;
            }
        )+
    };
}
