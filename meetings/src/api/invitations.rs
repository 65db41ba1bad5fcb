//! What everybody may know of a meeting who has its unguessable id: its page, its calendar file, its picture.

use axum::Json;
use axum::extract::Path;
use axum::response::Response;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http_api::{Problem, no_store};
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use signaling_core::{Code, Refusal};

use super::request::{Invited, Request, find_invited};
use super::view::InvitationView;
use crate::access::Principal;
use crate::calendar;

/// `GET /api/v1/invitations/{id}`
pub(super) async fn show(Invited { meetings, caller, meeting, way }: Invited) -> Response {
    let meeting = meetings.present(meeting);
    no_store(Json(InvitationView::new(&meeting, way, &meetings.origin(&caller), meetings.now())))
}

/// `GET /api/v1/invitations/{id}/qr.svg`: the meeting's link, for the camera of a phone.
pub(super) async fn qr(Invited { meetings, caller, meeting, way }: Invited) -> Result<Response, Problem> {
    let url = way.url(&meeting, &meetings.origin(&caller));
    let code = QrCode::with_error_correction_level(url.as_bytes(), EcLevel::M)
        .map_err(|_| Refusal::new(Code::Internal, "the link is too long for a QR code"))?;
    let picture = code.render::<svg::Color<'_>>().min_dimensions(240, 240).build();
    Ok(no_store(([(CONTENT_TYPE, "image/svg+xml")], picture)))
}

/// `GET /api/v1/meetings/{id}/calendar.ics`: also for who was invited and has no key.
pub(super) async fn calendar(request: Request, Path(id): Path<String>) -> Result<Response, Problem> {
    let (meeting, way) = match request.principal {
        Principal::Anonymous => find_invited(&request.meetings, &id).await?,
        Principal::Key(_) | Principal::Host(_) => {
            let meeting = request.meeting(&id).await?;
            let way = meeting.way();
            (meeting, way)
        }
    };
    let origin = request.meetings.origin(&request.caller);
    let file = calendar::file(&meeting, way, &origin, &calendar::Purpose::Publish);
    let head = [
        (CONTENT_TYPE, "text/calendar; charset=utf-8"),
        (CONTENT_DISPOSITION, "attachment; filename=\"meeting.ics\""),
    ];
    Ok(no_store((head, file)))
}
