// Plays Twilio and SendGrid, behind the same nginx, for the demonstration and the tests.
import Web

serve("sandbox", sandboxRoutes)
