#!/bin/sh
# Settings from the environment, then OpenDKIM in the background and Postfix in the foreground.
set -eu
: "${MAIL_HOSTNAME:?the name this relay says in EHLO; its reverse DNS must agree}"
: "${RELAY_FOR:?the network of the container that may send, such as 172.30.25.0/24}"
: "${DKIM_DOMAIN:?the domain of the sender address}"
selector=${DKIM_SELECTOR:-mail}
key=/var/lib/dkim/$selector.private

if [ ! -e "$key" ]; then
  opendkim-genkey -b 2048 -D /var/lib/dkim -d "$DKIM_DOMAIN" -s "$selector"
  echo "A new DKIM key. Publish this, then run paperround doctor:"
  cat "/var/lib/dkim/$selector.txt"
fi
chown -R opendkim:opendkim /var/lib/dkim
{
  echo "Domain $DKIM_DOMAIN"
  echo "Selector $selector"
  echo "KeyFile $key"
  echo "InternalHosts 127.0.0.0/8,$RELAY_FOR"
} | cat /etc/opendkim.conf - >/run/opendkim-relay.conf
opendkim -x /run/opendkim-relay.conf

[ -e /etc/postfix/main.cf ] || : >/etc/postfix/main.cf

# A container is a jail already, and Debian's chroot inside it would lack resolv.conf: no name would be found.
postconf -F '*/*/chroot = n'
postconf -e \
  "compatibility_level = 3.6" \
  "myhostname = $MAIL_HOSTNAME" \
  "mydestination =" \
  "local_transport = error:this relay keeps no mail" \
  "alias_maps =" \
  "alias_database =" \
  "relayhost = ${RELAYHOST:-}" \
  "mynetworks = 127.0.0.0/8 $RELAY_FOR" \
  "smtpd_relay_restrictions = permit_mynetworks, reject" \
  "smtp_tls_security_level = ${RELAY_TLS:-may}" \
  "smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt" \
  "message_size_limit = 1048576" \
  "smtpd_milters = inet:127.0.0.1:8891" \
  "milter_default_action = tempfail" \
  "maillog_file = /dev/stdout"

exec postfix start-fg
