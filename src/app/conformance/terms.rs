//! The `Weft` header, and what it says of the call's time.

use super::{
    Outcome, Report,
    asking::{Ask, Tester},
    envelope::refused,
    rules,
};
use crate::{
    error::{Error, Kind, case},
    name::header::VERSION,
};

/// Further from now than any two clocks may lie apart, and any default time lasts.
const FAR_MS: i64 = 90_000;

pub(super) async fn check(tester: &mut Tester, report: &mut Report) -> Result<(), Error> {
    let invalid = [Kind::InvalidRequest];
    report.add(&rules::LATER_FIELD, passed_over(tester).await);
    for (rule, header) in [
        (&rules::OTHER_VERSION, "2".to_owned()),
        (&rules::BROKEN_FIELD, format!("{VERSION};ms=soon")),
    ] {
        let ask = Ask::list().weft(header);
        report.add(
            rule,
            refused(tester, ask, &invalid, &[case::HEADER_MISMATCH]).await,
        );
    }
    let ask = Ask::list().weft(format!("{VERSION};corr=a/b"));
    report.add(
        &rules::BAD_CORRELATION,
        refused(tester, ask, &invalid, &[]).await,
    );
    let late = Ask::list()
        .weft(format!("{VERSION};ms=1000"))
        .made_at(-FAR_MS);
    report.add(
        &rules::EXPIRED,
        refused(tester, late, &[Kind::Timeout], &[]).await,
    );
    let early = Ask::list().made_at(FAR_MS);
    report.add(&rules::FUTURE, refused(tester, early, &invalid, &[]).await);
    Ok(())
}

async fn passed_over(tester: &mut Tester) -> Outcome {
    let ask = Ask::list().weft(format!("{VERSION};later=thing"));
    tester.result(&ask).await.map(drop)
}
