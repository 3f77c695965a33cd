"""Feeds: one subscriber's personal feed, from the digests that their mails are made of."""

from datetime import datetime, timedelta

from paperround.digests import personal_feed as rendering
from paperround.models import Subscriber
from paperround.pipeline.interfaces import Storage
from paperround.pipeline.messages import Messages

MOST = 100  # items, and …
OLDEST = timedelta(days=30)
