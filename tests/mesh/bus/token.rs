//! The token of a call: sent once, then named; sent again where it is not known.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures_util::StreamExt as _;
use weftbus::{
    call::{Call, SharedService, context::Credential, service::answer},
    error::{Error, Kind, case},
};

use super::bench::{Bench, ask, call, echoed, header};

const BEARER: &str = "eyJ.token.sig";
const REFERENCE: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// An instance that knows the token once it was shown it.
fn forgetful(knows: Arc<AtomicBool>) -> SharedService {
    SharedService::new(answer(move |call: Call| {
        let knows = Arc::clone(&knows);
        async move {
            match &call.context.credential {
                Some(Credential::Bearer(bearer)) if **bearer == *BEARER => {
                    knows.store(true, Ordering::SeqCst);
                }
                Some(Credential::Reference(named)) if **named == *REFERENCE => {
                    if !knows.load(Ordering::SeqCst) {
                        let error = Error::new(Kind::AuthenticationFailed, "which token?");
                        return Err(error.case(case::TOKEN_UNKNOWN));
                    }
                }
                other => return Err(Error::new(Kind::InternalError, format!("{other:?}"))),
            }
            Ok(echoed(&call))
        }
    }))
}

fn with(credential: Credential) -> Call {
    let mut call = call();
    call.context.credential = Some(credential);
    call
}

fn either() -> Call {
    with(Credential::Either {
        bearer: BEARER.into(),
        reference: REFERENCE.into(),
    })
}

#[tokio::test]
async fn a_token_is_sent_once_and_again_to_who_does_not_know_it() {
    let bench = Bench::new();
    let knows = Arc::new(AtomicBool::new(false));
    let _served = bench.serve(forgetful(Arc::clone(&knows))).await;
    let remote = bench.remote("alice").await;
    let (_spy, mut seen) = bench.listen("weft.v1.req.>").await;

    ask(&remote, either()).await.expect("by the token");
    ask(&remote, either()).await.expect("by its name");
    knows.store(false, Ordering::SeqCst);
    ask(&remote, either())
        .await
        .expect("by its name, then by the token");
    ask(&remote, either()).await.expect("by its name");

    let named = format!("1;ref={REFERENCE}");
    let bearer = format!("Bearer {BEARER}");
    for by_name in [false, true, true, false, true] {
        let message = seen.next().await.expect("connected");
        let heads = (header(&message, "Weft"), header(&message, "Authorization"));
        let expected = if by_name {
            (Some(named.as_str()), None)
        } else {
            (None, Some(bearer.as_str()))
        };
        assert_eq!(heads, expected);
    }
    assert_eq!(remote.link().calls_under_way(), 0);
}

#[tokio::test]
async fn who_has_only_the_name_hears_that_it_is_not_known() {
    let bench = Bench::new();
    let knows = Arc::new(AtomicBool::new(false));
    let _served = bench.serve(forgetful(Arc::clone(&knows))).await;
    let remote = bench.remote("alice").await;
    let named = || with(Credential::Reference(REFERENCE.into()));
    let error = ask(&remote, named()).await.expect_err("not known");
    assert!(error.is_case(case::TOKEN_UNKNOWN), "{error:?}");
    knows.store(true, Ordering::SeqCst);
    ask(&remote, named()).await.expect("known");
}
