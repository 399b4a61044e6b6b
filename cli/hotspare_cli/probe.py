"""What this machine itself sees of a server: its name, its port, its certificate. Without gRPC, so that each step has
its own word."""

import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address

from cryptography import x509

from hotspare_cli.checks import Certificate, Check, certificate_check, fine, skipped, wrong
from hotspare_rpc.address import Address
from hotspare_rpc.tls import ChannelTls

_PROTOCOL = ["h2"]
"""What gRPC speaks; a server may refuse who does not offer it."""


@dataclass(frozen=True)
class Probe:
    """A server as it is to be called."""

    what: str
    """`server` or `cloud`, in the names of the checks."""
    address: Address
    tls: ChannelTls | None
    name_option: str
    """What tells its address, for advice."""
    ca_option: str
    timeout: float
    """Seconds for each step."""

    def checks(self) -> list[Check]:
        """Look at the name, then the port, then the certificate, as far as one comes."""
        name, port, certificate = (f"{self.what} {step}" for step in ("name", "port", "certificate"))
        unseen = [skipped(certificate, "it can't be reached")] if self.tls is not None else []
        named = self._name(name)
        if named.told.startswith("it is not known"):
            return [named, skipped(port, "its name is not known"), *unseen]
        try:
            with socket.create_connection((self.address.host, self.address.port), self.timeout):
                connected = fine(port, f"{self.address} takes connections")
        except OSError as problem:
            cause = "no answer in time" if isinstance(problem, TimeoutError) else problem.strerror or str(problem)
            advice = f"Start it there, or correct {self.name_option}; check the firewalls between."
            return [named, wrong(port, f"{self.address} takes no connection: {cause}", advice), *unseen]
        seen = [self._certificate(certificate)] if self.tls is not None else []
        return [named, connected, *seen]

    def _name(self, name: str) -> Check:
        host = self.address.host
        with suppress(ValueError):
            ip_address(host)
            return fine(name, f"{host} is an address")
        found: list[str] = []
        failed: list[str] = []

        def look() -> None:
            try:
                found.extend({str(one[4][0]): "" for one in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)})
            except (OSError, UnicodeError) as problem:
                failed.append(getattr(problem, "strerror", None) or str(problem))

        # A thread of its own, for nothing ends a look-up that hangs.
        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        thread.join(self.timeout)
        if found:
            return fine(name, f"{host} is {', '.join(found)}")
        cause = failed[0] if failed else "no answer in time"
        return wrong(
            name, f"it is not known who {host} is: {cause}", f"Check {self.name_option}, and DNS or /etc/hosts."
        )

    def _certificate(self, name: str) -> Check:
        try:
            found = self._shown()
        except (OSError, ssl.SSLError, ValueError) as problem:
            cause = getattr(problem, "reason", None) or getattr(problem, "strerror", None) or str(problem)
            advice = "Does that server speak TLS at all? Without TLS it listens on loopback only."
            return wrong(name, f"no TLS with {self.address}: {str(cause).replace('_', ' ').lower()}", advice)
        return certificate_check(name, found, self.ca_option, datetime.now(UTC))

    def _shown(self) -> Certificate:
        """The certificate, also where it is not trusted."""
        assert self.tls is not None
        trusting = ssl.create_default_context(cadata=self.tls.ca_pem.decode("ascii") if self.tls.ca_pem else None)
        problem = ""
        try:
            der = self._handshake(trusting)
        except ssl.SSLCertVerificationError as refusal:
            problem = refusal.verify_message.rstrip(".")
            anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            # Only looked at: nothing is sent over it, no token either.
            anybody.check_hostname = False
            anybody.verify_mode = ssl.CERT_NONE
            der = self._handshake(anybody)
        leaf = x509.load_der_x509_certificate(der)
        return Certificate(leaf.not_valid_before_utc, leaf.not_valid_after_utc, _names(leaf), problem)

    def _handshake(self, context: ssl.SSLContext) -> bytes:
        context.set_alpn_protocols(_PROTOCOL)
        host = self.address.host
        with (
            socket.create_connection((host, self.address.port), self.timeout) as plain,
            context.wrap_socket(plain, server_hostname=host) as wrapped,
        ):
            return wrapped.getpeercert(binary_form=True) or b""


def speaks_tls(address: Address, timeout: float) -> bool:
    """Whether a server that is called without TLS wants it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(_PROTOCOL)
    try:
        with (
            socket.create_connection((address.host, address.port), timeout) as plain,
            context.wrap_socket(plain),
        ):
            return True
    except OSError:
        return False


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    hosts = names.get_values_for_type(x509.DNSName)
    return (*hosts, *(str(address) for address in names.get_values_for_type(x509.IPAddress)))
