import Messaging
import Web

serve("webhooks", webhookRoutes)
