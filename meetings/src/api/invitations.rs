//! What everybody may know of a meeting who has its unguessable id: its page, its calendar file, its picture.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use signaling_core::{Code, Refusal};

use super::access::{Principal, Want, find_invited};
use super::problem::Problem;
use super::request::Client;
use super::view::InvitationView;
use crate::calendar;
use crate::service::Meetings;

/// `GET /api/v1/invitations/{id}`
pub(super) async fn show(
    State(meetings): State<Meetings>,
    client: Client,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    meetings.count_reader(&client)?;
    let (meeting, way) = find_invited(&meetings, &id).await?;
    let meeting = meetings.present(meeting);
    let view = InvitationView::new(&meeting, way, &meetings.origin(&client), meetings.now());
    Ok(([(CACHE_CONTROL, "no-store")], Json(view)).into_response())
}

/// `GET /api/v1/invitations/{id}/qr.svg`: the meeting's link, for the camera of a phone.
pub(super) async fn qr(
    State(meetings): State<Meetings>,
    client: Client,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    meetings.count_reader(&client)?;
    let (meeting, way) = find_invited(&meetings, &id).await?;
    let url = way.url(&meeting, &meetings.origin(&client));
    let code = QrCode::with_error_correction_level(url.as_bytes(), EcLevel::M)
        .map_err(|_| Refusal::new(Code::Internal, "the link is too long for a QR code"))?;
    let picture = code.render::<svg::Color<'_>>().min_dimensions(240, 240).build();
    Ok(([(CONTENT_TYPE, "image/svg+xml"), (CACHE_CONTROL, "no-store")], picture).into_response())
}

/// `GET /api/v1/meetings/{id}/calendar.ics`: also for who was invited and has no key.
pub(super) async fn calendar(
    State(meetings): State<Meetings>,
    client: Client,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let principal = Principal::of(&meetings, &headers, &client, Want::Read).await?;
    let (meeting, way) = match principal {
        Principal::Anonymous => find_invited(&meetings, &id).await?,
        principal => {
            let meeting = principal.meeting(&meetings, &id).await?;
            let way = meeting.way();
            (meeting, way)
        }
    };
    let file = calendar::file(&meeting, way, &meetings.origin(&client), &calendar::Purpose::Publish);
    let head = [
        (CONTENT_TYPE, "text/calendar; charset=utf-8"),
        (CONTENT_DISPOSITION, "attachment; filename=\"meeting.ics\""),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((head, file).into_response())
}
