"""Subscriber imports: people of a list that was kept elsewhere. Nobody becomes active without evidence, and nobody who left is revived."""

from paperround.errors import AlreadyExistsError, ConsentError
from paperround.models import ConsentState, Subscriber
from paperround.pipeline.subscriber_actions import SubscriberActions
from paperround.subscribers import signed_links
from paperround.subscribers.imports import LEFT, Row, read_row

__all__ = ["bring", "read_row"]


async def bring(actions: SubscriberActions, row: Row, *, origin: str, vouched: bool = False, dry_run: bool = False) -> str:
    """Take one row in. It comes to active, pending, paused, unchanged, or to why they are not mailed: left, bounced, complained, admin.

    `origin` names the list in the evidence; `vouched`: an administrator holds the evidence that the row lacks. Raises AddressError,
    ProfileError, and ConsentError for who left here or is suppressed."""
    address = signed_links.normalise_email(row.email)
    known = await actions.find(address)
    if row.gone:
        if not dry_run:
            await _keep_out(actions, address, known, row.gone, origin)
        return row.gone
    if known and known.state in (ConsentState.UNSUBSCRIBED, ConsentState.FORGOTTEN):
        raise ConsentError(f"{address} left; only their own new consent brings them back")
    active = bool(row.evidence) or vouched
    if dry_run:
        actions.checked(row.values, address)
        return "unchanged" if known else "paused" if active and row.paused else "active" if active else "pending"
    note = f"{origin}: {row.evidence or 'vouched for'}" if active else None
    try:
        subscriber = await actions.add(address, row.values, active=active, way="import", note=note, address_prefix=row.network)
    except AlreadyExistsError:
        return "unchanged"
    if active and row.paused:
        subscriber = await actions.pause(subscriber, way="import")
    return subscriber.state.value


async def _keep_out(actions: SubscriberActions, address: str, known: Subscriber | None, reason: str, origin: str) -> None:
    """Who left elsewhere is kept out as a hash, so that loads do not bring them and their own sign-up does; who only came by an import
    leaves here too. All others are suppressed."""
    if reason != LEFT:
        await actions.suppress(address, reason=reason, evidence=origin)
        return
    if known is None:
        await actions.suppress(signed_links.address_hash(actions.keys, address), reason=LEFT, evidence=origin)
    elif not any(event.kind == "confirmed" for event in await actions.storage.consent_events(known.id)):
        await actions.unsubscribe(known, way="import", note=origin)
