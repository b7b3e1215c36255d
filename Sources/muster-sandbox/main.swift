// Plays Twilio, SendGrid and an SMTP relay, behind the same nginx, for the demonstration and the tests.
import Web

serve("sandbox", sandboxRoutes)
